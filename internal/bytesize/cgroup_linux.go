package bytesize

import (
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// hierarchy is one that limits memory, with the group of this process.
type hierarchy struct {
	fstype, option string // of its mounts; option is one of the super block's
	file           string // that has the limit
	group          string // as /proc/self/cgroup says: from the root of the cgroup namespace
	usual          []string
}

// mounted is where a part of a hierarchy can be read.
type mounted struct {
	dir   string // of the mount's root
	group string // from there
}

// memoryHierarchies returns those that this process is in.
func memoryHierarchies(root fs.FS) (list []hierarchy) {
	text, _ := fs.ReadFile(root, "proc/self/cgroup")
	for line := range strings.Lines(string(text)) {
		// hierarchy-ID:controller-list:cgroup-path, see cgroups(7)
		field := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(field) != 3 {
			continue
		}
		switch {
		case field[0] == "0" && field[1] == "":
			list = append(list, hierarchy{"cgroup2", "", "memory.max", field[2], []string{"sys/fs/cgroup", "sys/fs/cgroup/unified"}})
		case slices.Contains(strings.Split(field[1], ","), "memory"):
			list = append(list, hierarchy{"cgroup", "memory", "memory.limit_in_bytes", field[2], []string{"sys/fs/cgroup/memory"}})
		}
	}
	return list
}

// mounts returns where the hierarchy is mounted, see proc_pid_mountinfo(5).
func (h *hierarchy) mounts(root fs.FS) (list []mounted) {
	text, err := fs.ReadFile(root, "proc/self/mountinfo")
	if err != nil {
		for _, dir := range h.usual {
			list = append(list, mounted{dir, h.group})
		}
	}
	for line := range strings.Lines(string(text)) {
		before, after, ok := strings.Cut(strings.TrimSpace(line), " - ")
		left, right := strings.Fields(before), strings.Fields(after)
		if !ok || len(left) < 5 || len(right) < 3 || right[0] != h.fstype ||
			h.option != "" && !slices.Contains(strings.Split(right[2], ","), h.option) {
			continue
		}
		m := mounted{strings.TrimPrefix(path.Clean(unescape(left[4])), "/"), h.inside(unescape(left[3]))}
		if _, err := fs.Stat(root, m.dir); err == nil { // else something else is mounted over it
			list = append(list, m)
		}
	}
	return list
}

// inside returns the group's path below the root of a mount. A container that
// has no cgroup namespace sees the host's path, and its own group as the root. Where
// the group does not lie below, it is the root itself that counts: what
// limits it limits the group, or it is the group under another name.
func (h *hierarchy) inside(mountRoot string) string {
	if mountRoot == "/" {
		return h.group
	}
	if rest, ok := strings.CutPrefix(h.group, mountRoot); ok && (rest == "" || rest[0] == '/') {
		return "/" + rest
	}
	return "/"
}

// mountPrivate mounts the hierarchy where nobody sees it, and returns its directory. It
// needs CAP_SYS_ADMIN.
func (h *hierarchy) mountPrivate() (*os.File, error) {
	fs, err := unix.Fsopen(h.fstype, unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fs)
	if h.option != "" {
		if err := unix.FsconfigSetFlag(fs, h.option); err != nil {
			return nil, err
		}
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return nil, err
	}
	fd, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_RDONLY|unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOEXEC)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), h.fstype), nil
}

// unescape reads what mountinfo writes for blanks and the like.
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}
