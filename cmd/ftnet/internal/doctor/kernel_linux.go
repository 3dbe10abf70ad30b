package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/internal/bytesize"
	"github.com/ftnet/ftnet/internal/caps"
	"github.com/ftnet/ftnet/internal/runtimedir"
	"github.com/ftnet/ftnet/internal/sockdiag"
	"github.com/ftnet/ftnet/rawio"
)

// The oldest kernel on which everything that the engine uses exists.
const needMajor, needMinor = 5, 12

func kernelVersion(m Machine) []Result {
	const name = "kernel"
	text, err := fs.ReadFile(m.Root, "proc/sys/kernel/osrelease")
	if err != nil {
		return finding(Fail, name, err.Error(), "run on Linux with /proc mounted")
	}
	release := strings.TrimSpace(string(text))
	var major, minor int
	if n, _ := fmt.Sscanf(release, "%d.%d", &major, &minor); n != 2 {
		return finding(Warn, name, release, "an unknown kind of version: the checks below decide")
	}
	if major < needMajor || major == needMajor && minor < needMinor {
		return finding(Fail, name, release, fmt.Sprintf("use Linux %d.%d or newer", needMajor, needMinor))
	}
	return ok(name, "Linux %s", release)
}

// capabilities are those of capabilities(7) that the engine needs.
// CAP_SYS_ADMIN includes what CAP_BPF and CAP_PERFMON were split off from.
func capabilities(m Machine) []Result {
	effective, err := m.effective()
	if err != nil {
		return finding(Warn, "capabilities", err.Error(), "mount /proc")
	}
	var results []Result
	for _, c := range []struct {
		name  caps.Cap
		use   string
		level Level
	}{
		{caps.NetAdmin, "attach the gate", Fail},
		{caps.NetRaw, "watch and inject packets", Fail},
		{caps.BPF, "load the gate", Fail},
		{caps.Perfmon, "load the gate", Fail},
		{caps.Setuid, "run the server as another user (--user)", Warn},
		{caps.Setgid, "run the server as another user (--user)", Warn},
		{caps.Kill, "signal a server that runs as another user (--user)", Warn},
	} {
		if len(caps.MissingFrom(effective, c.name)) == 0 {
			results = append(results, ok(string(c.name), "to %s", c.use)...)
		} else {
			results = append(results, finding(c.level, string(c.name), "missing; needed to "+c.use,
				"run as root, or give the capability (setcap, or AmbientCapabilities= of systemd)")...)
		}
	}
	return results
}

// effective reads the set of effective capabilities.
func (m Machine) effective() (uint64, error) {
	text, err := fs.ReadFile(m.Root, "proc/self/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if set, ok := strings.CutPrefix(line, "CapEff:"); ok {
			return strconv.ParseUint(strings.TrimSpace(set), 16, 64)
		}
	}
	return 0, errors.New("no CapEff in /proc/self/status")
}

func bpfFeatures(Machine) []Result { return tried(rawio.Features()) }

// pinning is what the next engine needs to go on for one that was killed.
func pinning(m Machine) []Result {
	const name = "BPF file system"
	const otherwise = "else servers do not outlive an engine that is killed"
	path, release, err := rawio.BPFFS{Path: m.BPFFS, Own: runtimedir.BPFFS(m.RuntimeDir)}.Open()
	err = errors.Join(err, release())
	switch {
	case err == nil && path != m.BPFFS:
		return ok(name, "there is none at %s; engines mount one at %s", m.BPFFS, path)
	case err == nil:
		return ok(name, "%s takes pins", m.BPFFS)
	case errors.Is(err, rawio.ErrNoBPFFS):
		return finding(Warn, name, err.Error(), "mount -t bpf -o mode=0700 bpf "+m.BPFFS+", or give CAP_SYS_ADMIN: "+otherwise)
	case errors.Is(err, rawio.ErrPins):
		return finding(Warn, name, err.Error(), "see what made it, and remove it: "+otherwise)
	}
	return finding(Warn, name, err.Error(), "run as root, with the file system mounted for writing: "+otherwise)
}

// tried turns features into results; one that is missing is as bad as what needs it. What only
// unmodified servers need is what tells a server's crash from a close that it meant.
func tried(features []rawio.Feature) []Result {
	var results []Result
	for _, f := range features {
		level, advice := Fail, "use a kernel with CONFIG_BPF_SYSCALL, CONFIG_NET_CLS_BPF, CONFIG_NET_CLS_ACT and CONFIG_NET_SCH_INGRESS"
		if f.Unmodified {
			level, advice = Warn, "services with mode \"listen\" do without; for mode \"unmodified\" use Linux 5.14 or newer with "+
				"CONFIG_DEBUG_INFO_BTF and CONFIG_CGROUP_BPF, with cgroup2 mounted (mount -t cgroup2 none /sys/fs/cgroup)"
		}
		var refused *rawio.UnsupportedFeatureError
		switch {
		case f.Untried != nil:
			results = append(results, ok(f.Name, "not tried: %v (that takes CAP_SYS_ADMIN, the engine does without)", f.Untried)...)
		case f.Err == nil:
			results = append(results, ok(f.Name, "tried")...)
		case errors.Is(f.Err, fs.ErrPermission) && errors.As(f.Err, &refused):
			results = append(results, finding(level, f.Name, f.Err.Error(), refused.Remedy)...)
		default:
			results = append(results, finding(level, f.Name, f.Err.Error(), advice)...)
		}
	}
	return results
}

func bpfJIT(m Machine) []Result {
	const name = "BPF JIT"
	n, found := m.sysctl("net.core.bpf_jit_enable")
	if found && n == 0 {
		return finding(Warn, name, "off: the gate is interpreted, several times slower", "sysctl -w net.core.bpf_jit_enable=1")
	}
	return ok(name, "on")
}

// tapBuffer is what the engine's tap asks for.
const tapBuffer = 64 * bytesize.MiB

// sockets tries every kind that the engine opens.
func sockets(Machine) []Result {
	var results []Result
	for _, s := range []struct {
		name, use   string
		level       Level
		family, typ int
		proto       int
	}{
		{"packet socket", "the tap", Fail, unix.AF_PACKET, unix.SOCK_DGRAM, 0},
		{"raw IPv4 socket", "the injector", Fail, unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_RAW},
		{"raw IPv6 socket", "the injector", Warn, unix.AF_INET6, unix.SOCK_RAW, unix.IPPROTO_RAW},
	} {
		fd, err := unix.Socket(s.family, s.typ|unix.SOCK_CLOEXEC, s.proto)
		if err != nil {
			advice := "the kernel lacks it (CONFIG_PACKET, CONFIG_INET, CONFIG_IPV6)"
			if errors.Is(err, fs.ErrPermission) {
				advice = caps.Advice(caps.NetRaw)
			}
			if s.level == Warn {
				advice += "; connections over IPv6 cannot be protected"
			}
			results = append(results, finding(s.level, s.name, err.Error(), advice)...)
			continue
		}
		results = append(results, ok(s.name, "for %s", s.use)...)
		if s.family == unix.AF_PACKET {
			results = append(results, receiveBuffer(fd)...)
		}
		unix.Close(fd)
	}
	return results
}

func receiveBuffer(fd int) []Result {
	const name = "tap buffer"
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, int(tapBuffer)); err != nil {
		return finding(Warn, name, fmt.Sprintf("cannot be set to %v: %v", tapBuffer, err),
			"give CAP_NET_ADMIN, or raise net.core.rmem_max: packets that do not fit cost their clients a retransmission")
	}
	return ok(name, "%v", tapBuffer)
}

func sockDestroy(Machine) []Result {
	const name = "SOCK_DESTROY"
	switch err := sockdiag.Supported(); {
	case errors.Is(err, sockdiag.ErrOrphans):
		return finding(Fail, name, err.Error(), "use Linux 6.11 or newer, or a stable release that has "+
			"\"tcp: fix forever orphan socket caused by tcp_abort\": the connections of a server that crashes cannot be recovered")
	case err != nil:
		return finding(Fail, name, err.Error(),
			"use a kernel with CONFIG_INET_DIAG_DESTROY (and CONFIG_INET_TCP_DIAG; modprobe tcp_diag), as root")
	}
	return ok(name, "removes a crashed server's sockets")
}
