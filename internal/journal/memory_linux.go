package journal

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// createMemory makes a sparse memfd of fixed size and maps it. The size is
// sealed: a server process that could shrink it would kill the engine with
// SIGBUS.
func createMemory(size int64) (fd int, mem []byte, err error) {
	fd, err = unix.MemfdCreate("ftnet-journal", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return -1, nil, fmt.Errorf("journal: memfd_create: %w", err)
	}
	defer func() {
		if err != nil {
			unix.Close(fd)
			fd = -1
		}
	}()
	if err = unix.Ftruncate(fd, size); err != nil {
		return fd, nil, fmt.Errorf("journal: ftruncate: %w", err)
	}
	seals := unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_SEAL
	if _, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals); err != nil {
		return fd, nil, fmt.Errorf("journal: sealing: %w", err)
	}
	mem, err = mapMemory(fd, size)
	return fd, mem, err
}

func mapMemory(fd int, size int64) ([]byte, error) {
	mem, err := unix.Mmap(fd, 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_NORESERVE)
	if err != nil {
		return nil, fmt.Errorf("journal: mmap: %w", err)
	}
	return mem, nil
}

func memorySize(fd int) (int64, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return 0, fmt.Errorf("journal: fstat: %w", err)
	}
	return st.Size, nil
}

func unmapMemory(mem []byte) error { return unix.Munmap(mem) }

func closeFd(fd int) error { return unix.Close(fd) }
