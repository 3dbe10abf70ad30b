package procfs

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Netns is a network namespace.
type Netns struct{ dev, ino uint64 }

// NetnsOf returns the network namespace of a process's main thread; 0 means the calling
// thread.
func NetnsOf(pid int) (Netns, error) {
	name := "thread-self"
	if pid != 0 {
		name = strconv.Itoa(pid)
	}
	return netnsAt(filepath.Join("/proc", name, "ns/net"))
}

func netnsAt(path string) (Netns, error) {
	info, err := os.Stat(path)
	if err != nil {
		return Netns{}, err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return Netns{}, fmt.Errorf("%s: no inode", path)
	}
	return Netns{uint64(st.Dev), st.Ino}, nil
}

// namedNetns is where ip-netns(8) keeps namespaces that have a name.
const namedNetns = "/run/netns"

// Name returns the name under which "ip netns" knows the namespace; empty: none.
func (n Netns) Name() string {
	entries, _ := os.ReadDir(namedNetns)
	for _, e := range entries {
		if other, err := netnsAt(filepath.Join(namedNetns, e.Name())); err == nil && other == n {
			return e.Name()
		}
	}
	return ""
}

// String is the namespace's name, if it has one, and its number as links below
// /proc/PID/ns have it.
func (n Netns) String() string {
	number := fmt.Sprintf("net:[%d]", n.ino)
	if name := n.Name(); name != "" {
		return name + " (" + number + ")"
	}
	return number
}

// TCPListener is a listening socket of a process's network namespace.
type TCPListener struct {
	Port  uint16
	Inode uint32
}

// TCPListeners returns the listening sockets in the network namespace of a process,
// whoever has them.
func TCPListeners(pid int) (list []TCPListener) {
	for _, name := range []string{"tcp", "tcp6"} {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", pid, name)) // those of a process that ends are going
		list = append(list, parseTCP(b)...)
	}
	return list
}

// parseTCP reads /proc/net/tcp or tcp6.
func parseTCP(b []byte) (list []TCPListener) {
	for line := range bytes.Lines(b) {
		f := strings.Fields(string(line)) // number, local, remote, state, …, inode
		if len(f) < 10 || f[3] != "0A" {
			continue
		}
		_, port, ok := strings.Cut(f[1], ":")
		n, err := strconv.ParseUint(port, 16, 16)
		inode, ierr := strconv.ParseUint(f[9], 10, 32)
		if ok && err == nil && ierr == nil {
			list = append(list, TCPListener{uint16(n), uint32(inode)})
		}
	}
	return list
}
