package journal

import (
	"errors"
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

// adoptMemory maps a memfd that somebody hands over, and duplicates its
// descriptor. It must be sealed as createMemory does it.
func adoptMemory(fd int) (own int, mem []byte, err error) {
	const need = unix.F_SEAL_SHRINK | unix.F_SEAL_GROW
	if seals, err := unix.FcntlInt(uintptr(fd), unix.F_GET_SEALS, 0); err != nil || seals&need != need {
		return -1, nil, fmt.Errorf("%w: not sealed memory", errLayout)
	}
	// Of huge pages there may be none when one is touched, which would kill the engine with
	// SIGBUS as well.
	var fs unix.Statfs_t
	if err := unix.Fstatfs(fd, &fs); err != nil || fs.Type != unix.TMPFS_MAGIC {
		return -1, nil, fmt.Errorf("%w: not memory of usual pages", errLayout)
	}
	size, err := memorySize(fd)
	if err != nil {
		return -1, nil, err
	}
	if size < superSize {
		return -1, nil, errLayout
	}
	if own, err = unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3); err != nil {
		return -1, nil, fmt.Errorf("journal: dup: %w", err)
	}
	if mem, err = mapMemory(own, size); err != nil {
		unix.Close(own)
		return -1, nil, err
	}
	return own, mem, nil
}

// dataEnd returns where the last data between two offsets of a sparse file ends.
func dataEnd(fd int, from, to int64) (end int64, err error) {
	for end = from; from < to; {
		data, err := unix.Seek(fd, from, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) || err == nil && data >= to {
			break
		}
		if err != nil {
			return 0, fmt.Errorf("journal: lseek: %w", err)
		}
		if end, err = unix.Seek(fd, data, unix.SEEK_HOLE); err != nil {
			return 0, fmt.Errorf("journal: lseek: %w", err)
		}
		from = end
	}
	return min(end, to), nil
}
