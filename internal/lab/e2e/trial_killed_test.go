package e2e

import (
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ftnet/ftnet/internal/lab/netlab"
	"github.com/ftnet/ftnet/internal/sockdiag"
)

// tryLong starts ftnet doctor where it tries a handshake for seconds, in vain, and returns
// it when its gate is there, with the id of that.
func (r *rig) tryLong() (cmd *netlab.Cmd, id string) {
	r.t.Helper()
	ruleset(r.t, r.lab.Server, r.onlyClient())
	r.meetNeighbours()
	plain, err := r.lab.Server.Listen("tcp", ":7002")
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { plain.Close() })
	cmd = r.lab.Server.Command(binary(r.t, "ftnet"), "doctor", "--runtime-dir", r.runtime, "--bpffs", r.bpffs, "--listen", ":7002")
	if err := cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	limit := time.After(20 * time.Second)
	for { // nothing tells of filters but tc
		if list := r.filters(); len(list) == 4 {
			return cmd, strings.Split(list[0], ":")[1]
		}
		select {
		case <-limit:
			r.t.Fatal("the doctor has no gate")
		case <-time.After(statusPoll):
		}
	}
}

func tell(t testing.TB, cmd *netlab.Cmd, sig syscall.Signal) {
	t.Helper()
	if err := cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
}

// TestDoctorsGateStays: while doctor tries, neither an engine that starts nor another
// doctor takes its gate for what a dead engine has left. When it was killed they do.
func TestDoctorsGateStays(t *testing.T) {
	for _, by := range []string{"doctor", "engine"} {
		t.Run(by, func(t *testing.T) {
			t.Parallel()
			r := prepare(t, options{})
			cmd, id := r.tryLong()
			tell(r.t, cmd, syscall.SIGSTOP)
			if out := r.doctor(r.runtime); strings.Contains(out, "removed") || strings.Contains(out, id) {
				t.Errorf("the doctor has found something of one that lives:\n%s", out)
			}
			r.start(options{}, "counter", "-listen", ":7000")
			r.recovered()
			if list := r.filters(); len(list) != 8 || !has(list, id) {
				t.Errorf("filters %v", list)
			}
			_ = r.stop()
			tell(r.t, cmd, syscall.SIGKILL)
			_ = cmd.Wait()
			if list := r.filters(); len(list) != 4 || !has(list, id) {
				t.Errorf("after the kill: filters %v", list)
			}
			if by == "doctor" {
				r.doctor(r.runtime, "removed filters of engine "+id)
			} else {
				r.start(options{}, "counter", "-listen", ":7000")
				r.recovered()
				if list := r.filters(); len(list) != 4 || has(list, id) {
					t.Errorf("after the next start: filters %v", list)
				}
				_ = r.stop()
			}
			r.nothingLeft()
		})
	}
}

// TestDoctorEnded: a doctor that is asked to end takes its gate with it.
func TestDoctorEnded(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		t.Run(sig.String(), func(t *testing.T) {
			t.Parallel()
			r := prepare(t, options{})
			cmd, _ := r.tryLong()
			tell(r.t, cmd, sig)
			_ = cmd.Wait()
			if code := cmd.ProcessState.ExitCode(); code != 1 {
				t.Errorf("exit status %d", code)
			}
			r.nothingLeft()
			r.nothingHalfOpen()
		})
	}
}

// TestTrialLeft: an engine that is killed while it tries a handshake leaves it half-open
// in the kernel. The next engine takes it back, and the server never hears of it.
func TestTrialLeft(t *testing.T) {
	for _, m := range probes(t) {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			r := prepare(t, options{})
			m := m.over(onDisk, r)
			m.args = append(m.args[:len(m.args):len(m.args)], "-tell")
			seen := r.capture()
			m.spawn(r)
			for _, network := range []string{"tcp4", "tcp6"} {
				r.handshake("lo", network, true)
			}
			// The gate does not know the answers, so that the engine asks the kernel after a
			// while. Were they dropped, the kernel would give the half-open connections up.
			ruleset(t, r.lab.Server, "table inet mute {\nchain output {\ntype filter hook output priority 0\n"+
				"tcp sport 7002 tcp flags & (syn | ack) == syn | ack tcp sport set 7003\n}\n}")
			r.waitHalfOpen()
			r.killAlone()
			r.waitHalfOpen()
			m.start(r)
			r.nothingHalfOpen()
			ruleset(t, r.lab.Server, "delete table inet mute")
			c := r.dial()
			c.echo("hello")
			if n := r.countOutput(" serves ", 1); n != 1 {
				t.Errorf("the server has accepted %d, of one client", n)
			}
			seen.onlyClients(r, 1)
		})
	}
}

// waitHalfOpen waits until the server's kernel has a half-open connection.
func (r *rig) waitHalfOpen() {
	r.t.Helper()
	err := r.lab.Server.Run(func() error {
		for limit := time.Now().Add(20 * time.Second); time.Now().Before(limit); pause(time.Millisecond) {
			all, err := sockdiag.List([]uint16{7002})
			if err != nil {
				return err
			}
			for _, state := range all {
				if state == sockdiag.SynReceived {
					return nil
				}
			}
		}
		return os.ErrDeadlineExceeded
	})
	if err != nil {
		r.t.Fatal("no half-open connection:", err)
	}
}
