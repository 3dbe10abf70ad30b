package daemon

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/ftnet/ftnet/internal/admin"
	"github.com/ftnet/ftnet/recovery"
)

func TestReload(t *testing.T) {
	h := newFakeHost(t)
	r := start(t, h, entry("a", "7001"), entry("b", "7002"), entry("c", "7003"), entry("d", "7004"))
	r.expect("READY=1")
	r.check(admin.Reload, "", []string{"nothing has changed"}, nil)
	r.expect("RELOADING=1\nMONOTONIC_USEC=")
	r.expect("READY=1")
	// a stays, b is changed, c only its policy, d goes, e comes.
	r.write(entry("a", "7001"), entry("b", "7002", `env = { X = "1" }`), entry("c", "7003", `drain = "1s"`), entry("e", "7004"))
	r.check(admin.Reload, "", []string{
		"b: restarted through recovery, 3 connections, T (env)",
		"c: changed without a restart (drain)",
		"d: removed",
		"e: started, T",
	}, []string{"add e", "remove d", "restart b true", "run e", "update c"})
	r.expect("READY=1\nSTATUS=4 services up")
	r.check(admin.Reload, "", []string{"nothing has changed"}, nil)
	r.refused(admin.Stop, "d", admin.CodeUnknown, "there are: a, b, c, e")
}

// TestReloadBad: nothing is changed, and all that is wrong is told.
func TestReloadBad(t *testing.T) {
	h := newFakeHost(t)
	r := start(t, h, entry("a", "7001"))
	r.expect("READY=1")
	h.take()
	r.write(entry("a", "seven"), entry("b", "7002", `drain = "soon"`))
	e := r.refused(admin.Reload, "", admin.CodeConfig, "is not valid: 2 errors; nothing was changed")
	if len(e.Diagnostics) != 2 || !strings.HasPrefix(e.Diagnostics[0], r.path+":") || !strings.Contains(e.Diagnostics[1], "soon") {
		t.Errorf("%q", e.Diagnostics)
	}
	r.expect("RELOADING=1")
	r.expect("READY=1\nSTATUS=1 service up")
	if calls := h.take(); len(calls) > 0 {
		t.Error(calls)
	}
	if !strings.Contains(r.out.String(), e.Diagnostics[1]) {
		t.Errorf("the log does not say %q:\n%s", e.Diagnostics[1], r.out.String())
	}
	os.Remove(r.path)
	r.refused(admin.Reload, "", admin.CodeFailed, "no such file")
}

// TestReloadFails: a service that cannot be changed does not keep the others from
// it, and the next reload tries again.
func TestReloadFails(t *testing.T) {
	h := newFakeHost(t)
	r := start(t, h, entry("a", "7001"), entry("b", "7002"))
	r.expect("READY=1")
	r.write(entry("a", "7001", `env = { X = "1" }`), entry("b", "7002", `env = { X = "1" }`))
	h.refuse["a"] = errors.New("not now")
	r.refused(admin.Reload, "", admin.CodeFailed, "a: not now")
	h.mu.Lock()
	delete(h.refuse, "a")
	h.mu.Unlock()
	r.check(admin.Reload, "", []string{"a: restarted through recovery, 3 connections, T (env)"}, []string{"restart a true"})
}

// TestReloadFallsBack: a service of which the old version goes on, or of which
// connections were lost, makes the reload fail; what was not changed the next one tries
// again.
func TestReloadFallsBack(t *testing.T) {
	h := newFakeHost(t)
	r := start(t, h, entry("a", "7001"))
	r.expect("READY=1")
	says := func(err error) {
		h.mu.Lock()
		h.awaited = err
		h.mu.Unlock()
	}
	r.write(entry("a", "7001", `env = { X = "1" }`))
	says(&recovery.FellBackError{Why: errors.New("exit status 1")})
	for range 2 {
		h.take()
		r.refused(admin.Reload, "", admin.CodeFailed, "a: restarted through recovery, but: exit status 1; the previous version serves again")
		if calls := h.take(); len(calls) != 1 || calls[0] != "restart a true" {
			t.Error(calls)
		}
	}
	says(&recovery.LostError{Lost: 2, Reason: "it says something else"})
	r.refused(admin.Reload, "", admin.CodeFailed, "2 connections could not be recovered and were reset, one of them: it says something else")
	says(nil)
	r.check(admin.Reload, "", []string{"nothing has changed"}, nil)
	r.expect("READY=1\nSTATUS=1 service up")
}

// TestReloadStopped: a service that was stopped stays so, and is started with
// its new configuration when that is asked for.
func TestReloadStopped(t *testing.T) {
	h := newFakeHost(t)
	r := start(t, h, entry("a", "7001"), entry("b", "7002"))
	r.expect("READY=1")
	if _, err := r.do(admin.Stop, "a"); err != nil {
		t.Fatal(err)
	}
	r.write(entry("a", "7001", `env = { X = "1" }`), entry("b", "7002"))
	r.check(admin.Reload, "", []string{"a: changed, stays stopped (env)"}, []string{"remove a"})
	r.check(admin.Start, "a", []string{"a: started, T"}, []string{"add a", "run a"})
}

// TestReloadEngine: what takes a restart of ftnet is said each time, and the
// level of the log is changed at once.
func TestReloadEngine(t *testing.T) {
	h := newFakeHost(t)
	r := start(t, h, entry("a", "7001"))
	r.expect("READY=1")
	r.write("[engine]\nmax-connections = 10\nlog-level = \"debug\"\n", entry("a", "7001"))
	later := "engine.max-connections: changed, but takes effect only when ftnet is started again"
	r.check(admin.Reload, "", []string{"engine.log-level: debug", later}, nil)
	if !r.d.log.IsDebug() {
		t.Error("the level of the log was not changed")
	}
	r.check(admin.Reload, "", []string{later}, nil)
}

// TestHangup: SIGHUP reloads.
func TestHangup(t *testing.T) {
	h := newFakeHost(t)
	r := start(t, h, entry("a", "7001"))
	r.expect("READY=1")
	r.write(entry("b", "7001"))
	r.signals <- syscall.SIGHUP
	r.expect("RELOADING=1")
	r.expect("READY=1\nSTATUS=1 service up")
	if h.service("a") != nil || h.service("b") == nil {
		t.Error(h.take())
	}
}
