package procfs

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Children lists the children of all threads of a process. One that begins or
// ends meanwhile may be missing.
//
// The restart of a process waits for it, so it costs three system calls a thread.
func Children(pid int) []int {
	dir, err := os.Open(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return nil
	}
	defer dir.Close()
	threads, _ := dir.Readdirnames(-1) // those of a process that ends are going
	var list []int
	buf := make([]byte, 0, 4096)
	for _, thread := range threads {
		buf = appendFile(buf[:0], int(dir.Fd()), thread+"/children")
		for _, s := range bytes.Fields(buf) {
			if child, err := strconv.Atoi(string(s)); err == nil {
				list = append(list, child)
			}
		}
	}
	return list
}

// appendFile appends what a file in a directory holds; nothing if the thread that it
// belongs to is gone.
func appendFile(b []byte, dir int, name string) []byte {
	fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return b
	}
	defer unix.Close(fd)
	for {
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
		n, err := unix.Read(fd, b[len(b):cap(b)])
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil || n == 0:
			return b
		default:
			b = b[:len(b)+n]
		}
	}
}
