package rawio

import (
	"bytes"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/rawio/internal/south"
)

// statusLog has the status that a test gives it.
type statusLog struct {
	logserver.Log
	status logserver.Status
}

func (l *statusLog) Status() logserver.Status { return l.status }

// TestLogStatus: a change of the log's status is logged once, reaches the core,
// and wakes it.
func TestLogStatus(t *testing.T) {
	var out bytes.Buffer
	log := &statusLog{}
	e := &Engine{cfg: Config{Log: log}, log: hclog.New(&hclog.LoggerOptions{Output: &out, DisableTime: true})}
	e.env = newEnvironment(e)
	e.upcalls.wake = make(chan struct{}, 1)
	e.machine = newCore(e.env, log)
	for _, step := range []struct {
		status, told logserver.Status
		want         string
	}{
		{logserver.OK, logserver.OK, ""},
		{logserver.Unreachable, logserver.Unreachable, `[WARN]  log backend degraded: status=unreachable was=ok`},
		{logserver.Unreachable, logserver.OK, ""}, // overtaken by the one before
		{logserver.Unreachable | logserver.LowSpace, logserver.LowSpace, `[WARN]  log backend degraded: status=low-space|unreachable was=unreachable`},
		{logserver.OK, logserver.OK, `[INFO]  log backend recovered: was=low-space|unreachable`},
		{logserver.OK, logserver.Expired, `[INFO]  log backend expired connections that were idle for too long`},
	} {
		out.Reset()
		log.status = step.status
		e.logStatus(step.told)
		if got := strings.TrimSpace(out.String()); got != step.want {
			t.Errorf("status %v, told %v: logged %q, want %q", step.status, step.told, got, step.want)
		}
		select {
		case <-e.upcalls.wake:
		default:
			t.Errorf("status %v: the core is not woken", step.status)
		}
		e.do(func(*south.Machine) {})
		if e.upcalls.pending() {
			t.Errorf("status %v: the core has not taken it", step.status)
		}
	}
}
