package rawio

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ftnet/ftnet/internal/policy"
	"github.com/ftnet/ftnet/internal/reason"
	"github.com/ftnet/ftnet/logserver"
)

// downLog takes nothing while it has an error.
type downLog struct {
	logserver.Log
	err    error
	status func(logserver.Status)
}

func (l *downLog) SetStatusUpcall(f func(logserver.Status)) { l.status = f }

func (l *downLog) Status() logserver.Status {
	if l.err != nil {
		return logserver.Unreachable
	}
	return logserver.OK
}

func (l *downLog) Write(id logserver.ConnID, off int64, p []byte) (int, error) {
	if l.err != nil {
		return 0, l.err
	}
	return l.Log.Write(id, off, p)
}

func (l *downLog) Room(id logserver.ConnID) (int64, error) {
	if l.err != nil {
		return 0, l.err
	}
	return l.Log.Room(id)
}

// becomes has the log fail, or work again.
func (l *downLog) becomes(err error) {
	l.err = err
	l.status(l.Status())
}

// wantSaid wants a message so often.
func (r *rig) wantSaid(what string, n int) {
	r.t.Helper()
	if got := strings.Count(r.said.String(), what); got != n {
		r.t.Errorf("said %q %d times, want %d: %s", what, got, n, &r.said)
	}
}

// TestLogFails: while the log takes nothing, because it cannot be reached, has failed or is closed,
// no data is acknowledged, and that is said once; when it takes data again the client's is
// acknowledged. With the policy for it a connection goes on unprotected.
func TestLogFails(t *testing.T) {
	for _, failure := range []error{logserver.ErrUnreachable, logserver.ErrFailed, logserver.ErrClosed} {
		for _, down := range []policy.LogDown{policy.DownHold, policy.DownUnprotect} {
			t.Run(failure.Error()+", "+down.String(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					log := &downLog{Log: newLaterLog(t)}
					r := newRig(t, log)
					const after = 5 * time.Second
					s := Service{Port: rigPort, Name: "rig", Journal: r.journal, LogDown: down, DownAfter: after}
					if err := r.Protect(s); err != nil {
						t.Fatal(err)
					}
					_, l := r.serve()
					r.goes(r.receiveLoop)
					r.wg.Go(r.upcallLoop)
					r.ticking()
					client, server := r.connect(l)
					log.becomes(failure)
					r.says(client, []byte("hello"))
					if got := r.hears(server); got != "hello" {
						t.Fatalf("the server has read %q", got)
					}
					r.pass(after - time.Second)
					if n := unacked(client); n != 5 {
						t.Errorf("%d bytes are not acknowledged", n)
					}
					r.wantSaid("log backend degraded", 1)
					r.wantSaid("log backend rejected client data", 1)
					r.pass(2 * time.Second)
					if c := r.status(); down == policy.DownUnprotect {
						if c.Protected || !strings.HasPrefix(c.Reason, string(reason.LogDown)) {
							t.Errorf("protected: %v, %q", c.Protected, c.Reason)
						}
						return
					}
					if n := unacked(client); n != 5 {
						t.Errorf("%d bytes are not acknowledged", n)
					}
					log.becomes(nil)
					r.wantSaid("log backend recovered", 1)
					r.pass(time.Second)
					if n, c := unacked(client), r.status(); n != 0 || !c.Protected || c.Stable != 5 {
						t.Errorf("%d bytes are not acknowledged, the status is %+v", n, c)
					}
				})
			})
		}
	}
}
