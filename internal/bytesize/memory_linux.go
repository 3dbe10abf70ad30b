package bytesize

import (
	"bufio"
	"bytes"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path"
	"strconv"
	"strings"
)

// TotalMemory returns how much memory this process may use: the machine's, or
// less if a memory cgroup (version 1 or 2) that it is in, or one above that,
// sets a limit.
func TotalMemory() (Size, error) { return totalMemory(os.DirFS("/"), (*hierarchy).mountPrivate) }

// totalMemory looks below root, and, for a hierarchy that is not mounted there (ip
// netns exec hides them all behind a /sys of its own), in what mount returns.
func totalMemory(root fs.FS, mount func(*hierarchy) (*os.File, error)) (Size, error) {
	total, err := machineMemory(root)
	if err != nil {
		return 0, err
	}
	// Limits that cannot be read are limits that are not there.
	for _, h := range memoryHierarchies(root) {
		mounts := h.mounts(root)
		for _, m := range mounts {
			total = min(total, cgroupLimit(root, m.dir, m.group, h.file))
		}
		if len(mounts) > 0 {
			continue
		}
		if dir, err := mount(&h); err == nil {
			total = min(total, cgroupLimit(os.DirFS(fmt.Sprintf("/proc/self/fd/%d", dir.Fd())), ".", h.group, h.file))
			dir.Close()
		}
	}
	return total, nil
}

func machineMemory(root fs.FS) (Size, error) {
	info, err := fs.ReadFile(root, "proc/meminfo")
	if err != nil {
		return 0, err
	}
	for lines := bufio.NewScanner(bytes.NewReader(info)); lines.Scan(); {
		if kb, ok := strings.CutPrefix(lines.Text(), "MemTotal:"); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(kb, "kB")), 10, 53)
			if err != nil {
				return 0, fmt.Errorf("MemTotal in /proc/meminfo: %w", err)
			}
			return Size(n) * KiB, nil
		}
	}
	return 0, fmt.Errorf("no MemTotal in /proc/meminfo")
}

// cgroupLimit returns the lowest limit from the group up to the root of its
// hierarchy. Inside a container the group's path may not be visible; then its
// parents, of which the mounted root is the container's own, still are.
func cgroupLimit(root fs.FS, mount, group, file string) Size {
	limit := Size(math.MaxInt64)
	for dir := path.Clean("/" + group); ; dir = path.Dir(dir) {
		text, err := fs.ReadFile(root, path.Join(mount, dir, file))
		if err == nil {
			// "max", and in version 1 a number near 2⁶³, mean none.
			if n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil && n > 0 {
				limit = min(limit, Size(n))
			}
		}
		if dir == "/" {
			return limit
		}
	}
}
