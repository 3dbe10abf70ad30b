package kernel

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

const unifiedHierarchy = "unified cgroup hierarchy"

// attachToCgroups attaches the program to the root of the hierarchy until the result is
// closed. It outlives this process if there are pins; else it goes with the process.
func attachToCgroups(prog *ebpf.Program, p *pins) (*linked, error) {
	root, err := cgroupRoot()
	if err != nil {
		return nil, needs(unifiedHierarchy, "cgroup2 mounted: mount -t cgroup2 none /sys/fs/cgroup", err)
	}
	defer root.Close()
	at, err := attachLink(root, prog, p)
	if err != nil {
		return nil, needs(unifiedHierarchy, "Linux 5.9 or newer with CONFIG_CGROUP_BPF", err)
	}
	return at, nil
}

// linked is a program whose link is open, and perhaps pinned.
type linked struct {
	link.Link
	pin  bool
	prog ebpf.ProgramID
}

func attachLink(root *os.File, prog *ebpf.Program, p *pins) (*linked, error) {
	id, err := programID(prog)
	if err != nil {
		return nil, err
	}
	l, err := link.AttachCgroup(link.CgroupOptions{
		Path:    fmt.Sprintf("/proc/thread-self/fd/%d", root.Fd()),
		Attach:  ebpf.AttachCgroupInetSockRelease,
		Program: prog,
	})
	if err != nil {
		return nil, err
	}
	if p != nil {
		if err := l.Pin(p.at(releasePin)); err != nil {
			l.Close()
			return nil, fmt.Errorf("pin %s: %w", releasePin, err)
		}
	}
	return &linked{l, p != nil, id}, nil
}

func (l *linked) replace(prog *ebpf.Program) error {
	id, err := programID(prog)
	if err == nil {
		err = l.Update(prog)
	}
	if err == nil {
		l.prog = id
	}
	return err
}

func (l *linked) leave() { l.Link.Close() }

// Close takes the program away at once, whether its pin is there or not.
func (l *linked) Close() error { return errors.Join(l.Detach(), l.Link.Close()) }

// there reports whether the link is attached and has its program.
func (l *linked) there() (bool, error) {
	info, err := l.Info()
	if err != nil {
		return false, fmt.Errorf("gate: link of the %s: %w", unifiedHierarchy, err)
	}
	cgroup := info.Cgroup()
	return cgroup != nil && cgroup.CgroupId != 0 && info.Program == l.prog, nil
}

// cgroupRoot opens the root of the cgroup2 hierarchy, as this process's cgroup
// namespace shows it: a program there sees the sockets of all processes below, and
// programs of others at the same place run too. It is where it is mounted, or in a mount of
// its own that nobody sees, which needs CAP_SYS_ADMIN.
func cgroupRoot() (*os.File, error) {
	path, err := mountedCgroup2("/proc/thread-self/mountinfo")
	if err == nil {
		return os.Open(path)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return mountCgroup2()
}

// mountedCgroup2 looks for a mount of the whole hierarchy in a file like
// /proc/PID/mountinfo (proc(5)); fs.ErrNotExist if there is none.
func mountedCgroup2(mountinfo string) (string, error) {
	f, err := os.Open(mountinfo)
	if err != nil {
		return "", err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		mount, kind, _ := strings.Cut(lines.Text(), " - ")
		fields := strings.Fields(mount) // id, parent, device, root, mount point, …
		if strings.HasPrefix(kind, "cgroup2 ") && len(fields) > 4 && fields[3] == "/" {
			return unescape.Replace(fields[4]), nil
		}
	}
	if err := lines.Err(); err != nil {
		return "", err
	}
	return "", fmt.Errorf("no cgroup2 is mounted: %w", fs.ErrNotExist)
}

// unescape undoes what the kernel does to paths in /proc.
var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

// mountCgroup2 returns the root of a mount that is attached nowhere and goes when
// it is closed.
func mountCgroup2() (*os.File, error) {
	fsfd, err := unix.Fsopen("cgroup2", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("no cgroup2 is mounted, and fsopen: %w", err)
	}
	defer unix.Close(fsfd)
	if err := unix.FsconfigCreate(fsfd); err != nil {
		return nil, fmt.Errorf("no cgroup2 is mounted, and it cannot be: %w", err)
	}
	fd, err := unix.Fsmount(fsfd, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_RDONLY)
	if err != nil {
		return nil, fmt.Errorf("no cgroup2 is mounted, and fsmount: %w", err)
	}
	return os.NewFile(uintptr(fd), "cgroup2"), nil
}
