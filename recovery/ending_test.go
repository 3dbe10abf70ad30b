package recovery

import (
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/internal/control"
	"github.com/ftnet/ftnet/recovery/config"
)

// TestEnding: from the moment in which a process closes what it has to that in which
// the engine knows of its end, the service is known to be ending: neither the time
// until it is reaped nor that until the ports' outage is declared counts as its life.
func TestEnding(t *testing.T) {
	for _, way := range []string{"supervised", "peer"} {
		t.Run(way, func(t *testing.T) {
			cmd := exec.Command("sleep", "1000")
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			s := newService(&Host{engine: &inherits{}, log: hclog.NewNullLogger()}, config.Service{Name: "test"}, Inherit{})
			peer := &control.Peer{ID: 1, Cred: control.Credentials{PID: cmd.Process.Pid}}
			if way == "peer" {
				s.peers[peer.ID], s.process.supervised = cmd.Process.Pid, os.Getpid()
			} else {
				s.process.supervised = cmd.Process.Pid
			}
			if s.ending() {
				t.Error("the process lives")
			}
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			// It ends, and nobody reaps it.
			if err := unix.Waitid(unix.P_PID, cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil); err != nil {
				t.Fatal(err)
			}
			if !s.ending() {
				t.Error("the process has ended, and is not reaped")
			}
			if way == "supervised" {
				_ = cmd.Wait()
				if !s.ending() {
					t.Error("the process was reaped, and no outage is declared")
				}
				return
			}
			_ = cmd.Wait() // its parent: nobody knows how it has ended
			north{s}.Gone(peer, nil)
			if !s.ending() {
				t.Error("its control connection has ended, and no outage is declared")
			}
			for began := time.Now(); s.ending(); time.Sleep(time.Millisecond) {
				if time.Since(began) > patience {
					t.Fatal("its end is known, and it is ending still")
				}
			}
		})
	}
}
