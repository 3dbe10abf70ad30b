package doctor

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// space returns how many bytes are free for this user where a directory lies, how
// many there are, and whether they are in memory.
func space(dir string) (free, total uint64, volatile bool, err error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, 0, false, fmt.Errorf("statfs %s: %w", dir, err)
	}
	size := uint64(s.Bsize)
	return s.Bavail * size, s.Blocks * size, s.Type == unix.TMPFS_MAGIC || s.Type == unix.RAMFS_MAGIC, nil
}
