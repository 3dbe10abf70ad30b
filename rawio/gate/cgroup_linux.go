package gate

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
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

// attachToCgroups attaches the program, in the place of old if that is not nil,
// until the result is closed. What outlives this process can be found and removed
// only by those who may open all programs; without that privilege the program goes
// with the process.
func attachToCgroups(prog, old *ebpf.Program) (io.Closer, error) {
	root, err := cgroupRoot()
	if err != nil {
		return nil, err
	}
	defer root.Close()
	var at io.Closer
	if mayOpen(prog) {
		at, err = attachLasting(root, prog, old)
	} else {
		at, err = link.AttachCgroup(link.CgroupOptions{
			Path:    fmt.Sprintf("/proc/thread-self/fd/%d", root.Fd()),
			Attach:  ebpf.AttachCgroupInetSockRelease,
			Program: prog,
		})
	}
	if err != nil {
		return nil, needs(unifiedHierarchy, "Linux 5.9 or newer with CONFIG_CGROUP_BPF", err)
	}
	return at, nil
}

// lasting is a program at the root of the hierarchy that stays there until it is
// taken away.
type lasting struct{ prog *ebpf.Program }

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

// Close takes the program away.
func (l *lasting) Close() error {
	defer l.prog.Close()
	root, err := cgroupRoot()
	if err != nil {
		return err
	}
	defer root.Close()
	err = link.RawDetachProgram(link.RawDetachProgramOptions{
		Target: int(root.Fd()), Program: l.prog, Attach: ebpf.AttachCgroupInetSockRelease,
	})
	if gone(err) != nil {
		return fmt.Errorf("gate: detach from the %s: %w", unifiedHierarchy, err)
	}
	return nil
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
