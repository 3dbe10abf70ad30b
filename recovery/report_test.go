package recovery

import (
	"os"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/ftnet/ftnet/recovery/config"
)

// TestSlowCrashIsOne: a process that takes long to close its connections has crashed once, and all of
// them are counted.
func TestSlowCrashIsOne(t *testing.T) {
	log := &logbook{more: make(chan struct{})}
	s := newService(&Host{log: hclog.New(&hclog.LoggerOptions{Output: log})}, config.Service{Name: "test"}, Inherit{})
	s.process.supervised = os.Getpid()
	answers := make(chan bool)
	s.workers.closed = func(int) bool { return <-answers }
	crashed := func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.workerCrashed(1<<22+1, 9)
	}
	crashed()
	answers <- false
	crashed()
	answers <- false
	answers <- true
	crashed() // the gate's ring had it yet
	answers <- true
	log.wait(t, "a process of the server crashed", "killed by signal 9", "connections=3")
	if n := strings.Count(log.String(), "crashed"); n != 1 || s.workers.crashes != 1 {
		t.Errorf("%d crashes in %d lines, want one:\n%s", s.workers.crashes, n, log)
	}
}
