package kernel

import (
	"fmt"
	"unsafe"

	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"
)

// watch is struct watch in bpf/maps.h.
type watch struct {
	NetNS                 uint64
	Flags, ExitCode, TGID uint32

	SockFlags, SockOwned, SockSocket uint32

	PIDNS, Signal, GroupFlags, GroupExitCode, Process, Level, Numbers, Inum uint32
}

// offset is where a struct of the kernel has a member, or a member of that.
type offset struct {
	of   string
	path []string
	at   *uint32
}

// kernelLayout finds out where the running kernel keeps what the gate reads of tasks
// and sockets.
func kernelLayout() (w watch, err error) {
	spec, err := btf.LoadKernelSpec()
	if err != nil {
		return w, err
	}
	if err := findOffsets(spec,
		offset{"task_struct", []string{"flags"}, &w.Flags},
		offset{"task_struct", []string{"exit_code"}, &w.ExitCode},
		offset{"task_struct", []string{"tgid"}, &w.TGID},
		offset{"task_struct", []string{"signal"}, &w.Signal},
		offset{"signal_struct", []string{"flags"}, &w.GroupFlags},
		offset{"signal_struct", []string{"group_exit_code"}, &w.GroupExitCode},
		offset{"sock", []string{"__sk_common", "skc_flags"}, &w.SockFlags},
		offset{"sock", []string{"sk_lock", "owned"}, &w.SockOwned},
		offset{"sock", []string{"sk_socket"}, &w.SockSocket},
	); err != nil {
		return w, err
	}
	if findOffsets(spec,
		offset{"signal_struct", []string{"pids"}, &w.Process},
		offset{"pid", []string{"level"}, &w.Level},
		offset{"pid", []string{"numbers"}, &w.Numbers},
		offset{"pid_namespace", []string{"ns", "inum"}, &w.Inum},
	) == nil {
		const tgid = 1 // PIDTYPE_TGID
		w.Process += tgid * uint32(unsafe.Sizeof(uintptr(0)))
		w.PIDNS = pidNamespace()
	}
	return w, nil
}

// pidNamespace returns the inode of this process's PID namespace; 0: it is not known, as
// where /proc is another one's.
func pidNamespace() uint32 {
	var st unix.Stat_t
	if err := unix.Stat("/proc/self/ns/pid", &st); err != nil {
		return 0
	}
	return uint32(st.Ino)
}

func findOffsets(spec *btf.Spec, list ...offset) error {
	for _, f := range list {
		var in *btf.Struct
		if err := spec.TypeByName(f.of, &in); err != nil {
			return err
		}
		at, err := pathOffset(in, f.path)
		if err != nil {
			return fmt.Errorf("%s: %w", f.of, err)
		}
		*f.at = uint32(at.Bytes())
	}
	return nil
}

// pathOffset looks for a member, and members of that.
func pathOffset(in *btf.Struct, path []string) (at btf.Bits, err error) {
	for i, name := range path {
		m, base, ok := findMember(in.Members, name)
		if !ok {
			return 0, fmt.Errorf("there is no member %s", name)
		}
		at += base + m.Offset
		if i == len(path)-1 {
			break
		}
		if in, ok = btf.UnderlyingType(m.Type).(*btf.Struct); !ok {
			return 0, fmt.Errorf("the member %s is no struct", name)
		}
	}
	return at, nil
}

// findMember looks for a member, also in anonymous structs and unions, and returns where
// that is in which it lies: a kernel with randomized layout has one around most of the task.
func findMember(members []btf.Member, name string) (found btf.Member, base btf.Bits, ok bool) {
	for _, m := range members {
		if m.Name == name {
			return m, 0, true
		}
		if m.Name != "" {
			continue
		}
		var inner []btf.Member
		switch t := btf.UnderlyingType(m.Type).(type) {
		case *btf.Struct:
			inner = t.Members
		case *btf.Union:
			inner = t.Members
		}
		if found, base, ok = findMember(inner, name); ok {
			return found, m.Offset + base, true
		}
	}
	return found, 0, false
}
