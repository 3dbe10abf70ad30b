package backend

import (
	"errors"
	"testing"

	"github.com/ftnet/ftnet/logserver"
)

// ill is a log with a status.
type ill struct {
	logserver.Log
	status logserver.Status
}

func (l *ill) Status() logserver.Status { return l.status }

func TestComplaints(t *testing.T) {
	var c Complaints
	var told []string
	warn := c.Warn(func(message string, _ ...any) { told = append(told, message) })
	l := &ill{status: logserver.Unreachable}
	says := func(want string) {
		t.Helper()
		if got := c.Reason(l); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	says("")
	warn("not reached", "address", "h:1", "error", errors.New("connection refused"))
	says("connection refused")
	warn("only words", "odd")
	says("connection refused")
	warn("another engine has taken over the service", "service", "web")
	says("another engine has taken over the service web")
	l.status = logserver.OK
	says("")
	l.status = logserver.Failed // and does not say why
	says("")
	if len(told) != 3 {
		t.Errorf("%q", told)
	}
}
