package backend

import "golang.org/x/sys/unix"

// fileSystemSize returns how many bytes the file system of a directory holds.
func fileSystemSize(dir string) (int64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, err
	}
	return int64(s.Blocks) * s.Bsize, nil
}
