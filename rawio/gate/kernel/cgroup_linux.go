package kernel

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

const unifiedHierarchy = "unified cgroup hierarchy"

// cgroupRoot opens the root of the cgroup2 hierarchy, as this process's cgroup
// namespace shows it: a program there sees the sockets of all processes below.
// Programs of others at the same place run too.
func cgroupRoot() (*os.File, error) {
	root, err := openCgroupRoot()
	if err != nil {
		return nil, needs(unifiedHierarchy, "cgroup2 mounted: mount -t cgroup2 none /sys/fs/cgroup", err)
	}
	return root, nil
}

// place is where a program is attached.
type place interface {
	replace(*ebpf.Program) error // puts another one in its place, in one step
	Close() error                // takes it away
	leave()                      // does what this process's death does
	pinned() bool                // reports whether it outlives this process by a pin
	there() (bool, error)        // reports whether the program is attached
}

// attachToCgroups attaches the program until the result is closed. It outlives this
// process if there are pins, or if this process may open it by its number, and so may
// others who find it; else it goes with the process.
func attachToCgroups(prog *ebpf.Program, p *pins) (place, error) {
	root, err := cgroupRoot()
	if err != nil {
		return nil, err
	}
	defer root.Close()
	var at place
	if p == nil && mayOpen(prog) {
		at, err = attachLasting(root, prog, nil)
	} else {
		at, err = attachLink(root, prog, p)
	}
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

func (l *linked) pinned() bool { return l.pin }

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

// lasting is a program at the root of the hierarchy that stays there until it is
// taken away.
type lasting struct{ prog *ebpf.Program }

// attachLasting attaches the program, in the place of old if that is not nil.
func attachLasting(root *os.File, prog, old *ebpf.Program) (*lasting, error) {
	const multi = 2 // BPF_F_ALLOW_MULTI
	prog, err := prog.Clone()
	if err != nil {
		return nil, err
	}
	options := link.RawAttachProgramOptions{
		Target: int(root.Fd()), Program: prog, Attach: ebpf.AttachCgroupInetSockRelease, Flags: multi,
	}
	if old != nil {
		options.Anchor = link.ReplaceProgram(old)
	}
	if err := link.RawAttachProgram(options); err != nil {
		prog.Close()
		return nil, err
	}
	return &lasting{prog}, nil
}

func (l *lasting) replace(prog *ebpf.Program) error {
	root, err := cgroupRoot()
	if err != nil {
		return err
	}
	defer root.Close()
	now, err := attachLasting(root, prog, l.prog)
	if err != nil {
		return err
	}
	l.prog.Close()
	l.prog = now.prog
	return nil
}

func (l *lasting) leave()       { l.prog.Close() }
func (l *lasting) pinned() bool { return false }

// Close takes the program away. One that is not there is no error.
func (l *lasting) Close() error {
	_, err := l.detach()
	return err
}

// detach is Close. It reports whether there was something to take away: a program
// that a link holds is not there for this.
func (l *lasting) detach() (bool, error) {
	defer l.prog.Close()
	root, err := cgroupRoot()
	if err != nil {
		return false, err
	}
	defer root.Close()
	err = link.RawDetachProgram(link.RawDetachProgramOptions{
		Target: int(root.Fd()), Program: l.prog, Attach: ebpf.AttachCgroupInetSockRelease,
	})
	if gone(err) != nil {
		return false, fmt.Errorf("gate: detach from the %s: %w", unifiedHierarchy, err)
	}
	return err == nil, nil
}

// there reports whether the link is attached and has its program.
func (l *linked) there() (bool, error) {
	info, err := l.Info()
	if err != nil {
		return false, fmt.Errorf("gate: link of the %s: %w", unifiedHierarchy, err)
	}
	cgroup := info.Cgroup()
	return cgroup != nil && cgroup.CgroupId != 0 && info.Program == l.prog, nil
}

func (l *lasting) there() (bool, error) {
	id, err := programID(l.prog)
	if err != nil {
		return false, err
	}
	root, err := cgroupRoot()
	if err != nil {
		return false, err
	}
	defer root.Close()
	all, err := link.QueryPrograms(link.QueryOptions{Target: int(root.Fd()), Attach: ebpf.AttachCgroupInetSockRelease})
	if err != nil {
		return false, fmt.Errorf("gate: programs at the %s: %w", unifiedHierarchy, err)
	}
	return slices.ContainsFunc(all.Programs, func(p link.AttachedProgram) bool { return p.ID == id }), nil
}

// openCgroupRoot opens the root of the cgroup2 hierarchy: where it is mounted, or
// in a mount of its own that nobody sees, which needs CAP_SYS_ADMIN.
func openCgroupRoot() (*os.File, error) {
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
