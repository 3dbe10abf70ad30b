package e2e

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/internal/lab/testenv"
	"github.com/ftnet/ftnet/internal/status"
)

// withoutSysAdmin checks that a process has the privileges of the systemd unit, and so
// not that to open what another one has left in the kernel.
func withoutSysAdmin(t *testing.T, pid int) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if set, ok := strings.CutPrefix(line, "CapPrm:"); ok {
			caps, err := strconv.ParseUint(strings.TrimSpace(set), 16, 64)
			if err != nil || caps == 0 || caps&(1<<unix.CAP_SYS_ADMIN) != 0 {
				t.Fatalf("capabilities %s (%v)", set, err)
			}
			return
		}
	}
	t.Fatal("no capabilities")
}

// TestEngineKilledUnprivileged: the daemon is killed, again and again; each next one
// finds the gate by its pins, and adopts servers of both modes. For those of its own
// user it needs what it needs for all else, for those of others what the systemd unit
// gives it.
func TestEngineKilledUnprivileged(t *testing.T) {
	testenv.RequireTool(t, "setpriv")
	own := []string{listening(t, "own", 7002), unmodified(t, "plain", 7003)}
	t.Run("own user", func(t *testing.T) {
		// Without CAP_SYS_PTRACE it cannot enter /proc/PID/fd of this process.
		unprivileged(t, []string{"net_admin", "net_raw", "bpf", "perfmon"}, func(s *served) {
			dir, err := os.Open(s.bpffs)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { dir.Close() })
			s.files, s.flags = []*os.File{dir}, []string{"--bpffs", "/proc/self/fd/3"}
		}, []string{"own", "plain"}, own)
	})
	t.Run("other users", func(t *testing.T) {
		const nobody = "user = \"nobody\"\ndrain = \"500ms\""
		unprivileged(t, capabilities(t), func(*served) {}, []string{"own", "plain", "own-nobody", "plain-nobody"},
			append(own, listening(t, "own-nobody", 7004, nobody), unmodified(t, "plain-nobody", 7005, nobody)))
	})
}

func unprivileged(t *testing.T, capabilities []string, change func(*served), names, entries []string) {
	s := serve(t, func(s *served) { with(capabilities)(s); change(s) },
		append([]string{onDeviceTOML(t)}, entries...)...)
	var clients []*client
	for i := range names {
		clients = append(clients, s.dialPort(7002+i))
	}
	echo := func(what string) {
		t.Helper()
		for _, c := range clients {
			c.echo(what)
		}
	}
	echo("hello")
	const rounds = 3
	for i := range rounds {
		withoutSysAdmin(t, s.cmd.Process.Pid)
		var pids []int
		for _, name := range names {
			pids = append(pids, s.pid(name))
		}
		s.killFtnet()
		s.begin()
		echo(fmt.Sprint("again ", i))
		for i, name := range names {
			s.waitStatus(name+" is there again", func(d *status.Document) bool {
				for _, p := range d.Programs {
					if p.Name == name {
						return p.Ready && p.Process.PID == pids[i]
					}
				}
				return false
			})
		}
	}
	if n := s.countOutput("the gate of the engine before was taken over by its pins", rounds); n != rounds {
		t.Errorf("adopted through pins %d times", n)
	}
	// Adopted, everything works as ever: what a crash is, a program at the cgroup tells.
	for _, name := range names {
		if err := syscall.Kill(s.pid(name), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	echo("recovered")
	if err := s.stop(); err != nil {
		t.Error(err)
	}
}

// TestEngineKilledUnpinned: where there is no BPF file system the daemon mounts one, for
// which it takes a privilege. Without that the servers die with the daemon, which says so,
// and their connections are recovered from the log.
func TestEngineKilledUnpinned(t *testing.T) {
	testenv.RequireTool(t, "setpriv")
	for _, privileged := range []bool{true, false} {
		t.Run(fmt.Sprintf("privileged=%v", privileged), func(t *testing.T) {
			change := func(s *served) {
				if !privileged {
					with(capabilities(t))(s)
				}
				s.bpffs = t.TempDir()
			}
			s := serve(t, change, onDeviceTOML(t), listening(t, "own", 7002), unmodified(t, "plain", 7003))
			own, plain := s.dialPort(7002), s.dialPort(7003)
			own.echo("hello")
			plain.echo("hello")
			pid := s.pid("own")
			s.killFtnet()
			s.begin()
			own.echo("again")
			plain.echo("again")
			if adopted := s.pid("own") == pid; adopted != privileged {
				t.Errorf("adopted: %v", adopted)
			}
			says := "server processes end with this engine, should it be killed: the next one could not adopt them: " +
				"reason=\"gate: no BPF file system: " + s.bpffs + " is another file system, and none can be mounted at " + s.runtime + "/bpf: "
			if privileged {
				says = "the gate of the engine before was taken over by its pins: directory=" + s.runtime + "/bpf/ftnet/"
			}
			s.waitOutput(says)
		})
	}
}
