package recovery

import (
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/internal/control"
	"github.com/ftnet/ftnet/internal/supervisor"
	"github.com/ftnet/ftnet/recovery/config"
)

// TestMissedWhileServing: it is only while a process serves that nobody listens at a port again.
// One that is ending does not, though its state has not changed yet; nor is its successor there.
func TestMissedWhileServing(t *testing.T) {
	for _, way := range []string{"supervised", "child", "one of two"} {
		t.Run(way, func(t *testing.T) {
			cmd := exec.Command("sleep", "1000")
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			pid, long := cmd.Process.Pid, time.Now().Add(-time.Hour)
			s := newService(&Host{engine: &inherits{}, log: hclog.NewNullLogger(), cfg: HostConfig{relisten: defaultRelisten}}, config.Service{Name: "test"}, Inherit{})
			peer := &control.Peer{ID: 1, Cred: control.Credentials{PID: pid}}
			s.peers[peer.ID] = pid
			own, waits := &port{listening: true, owner: peer.ID}, &port{crashedAt: long}
			s.ports[7001], s.ports[7002] = own, waits
			s.process.supervised = pid
			if way != "supervised" {
				s.process.supervised = os.Getpid()
			}
			if way == "one of two" {
				s.peers[2], s.ports[7003] = os.Getpid(), &port{listening: true, owner: 2}
			}
			s.process.becomeRunning(pid)
			s.process.listenedAt = long
			check := func(want bool, when string) {
				t.Helper()
				waits.abandoned = false
				s.findAbandoned()
				if stale := len(s.portList(s.stale)) > 0; stale != want || waits.abandoned != want {
					t.Errorf("%s: stale %v, abandoned %v", when, stale, waits.abandoned)
				}
			}
			check(true, "the process serves")
			waits.owner = peer.ID
			check(false, "it is about to listen there")
			waits.owner = 0
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			// It ends, and nobody reaps it.
			if err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil); err != nil {
				t.Fatal(err)
			}
			check(false, "it has ended")
			if way != "supervised" { // its parent has reaped it: nobody knows how it has ended
				_ = cmd.Wait()
			}
			north{s}.Gone(peer, nil)
			check(false, "its control connection has ended")
			for began, told := time.Now(), false; !told; time.Sleep(time.Millisecond) {
				s.mu.Lock()
				told = s.leaving == 0
				s.mu.Unlock()
				if time.Since(began) > patience {
					t.Fatal("its end is never known")
				}
			}
			own.listening = false // as its outage has it
			check(way == "one of two", "its outage has begun")
			if way == "supervised" {
				hooks{s}.Ended(supervisor.Exit{Kind: supervisor.Crashed, PID: pid, Again: true})
			}
			_ = cmd.Wait()
			check(way == "one of two", "it was reaped")
			if way == "supervised" {
				return
			}
			s.process.becomeRunning(os.Getpid())
			check(true, "the next one serves")
		})
	}
}
