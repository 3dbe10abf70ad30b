package recovery

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ftnet/ftnet/internal/policy"
	"github.com/ftnet/ftnet/recovery/config"
)

// TestCommandProbe: a server is not ready before its command says so.
func TestCommandProbe(t *testing.T) {
	for _, role := range []string{"listen :7001", "plain :7001"} {
		t.Run(role, func(t *testing.T) {
			l := newLab(t, nil)
			sign := filepath.Join(t.TempDir(), "sign")
			cfg := server("one", role, ":7001")
			cfg.Ready = config.Ready{Probe: config.ProbeCommand, Interval: time.Millisecond, Timeout: patience,
				Command: []string{"sh", "-c", `test -e "$SIGN" || { echo tried; exit 3; }`}}
			setenv(&cfg, "SIGN", sign)
			s := l.run(cfg)
			l.log.wait(t, "not ready", "exit status 3: tried")
			if p := s.program(l); p.Ready {
				t.Errorf("%+v", p)
			}
			if err := os.WriteFile(sign, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			s.serves()
			l.dial("127.0.0.1:7001").expect("1", "add 1")
		})
	}
}

// TestCommandProbeHangs: a probe that does not end is ended, with all that it
// has started, and tried again.
func TestCommandProbeHangs(t *testing.T) {
	l := newLab(t, nil)
	cfg := server("one", "plain :7001", ":7001")
	first := filepath.Join(t.TempDir(), "first")
	cfg.Ready = config.Ready{Probe: config.ProbeCommand, Interval: time.Millisecond, Timeout: 50 * time.Millisecond,
		Command: []string{"sh", "-c", `test -e "$FIRST" || { touch "$FIRST"; sleep 1000 & sleep 1000; }`}}
	setenv(&cfg, "FIRST", first)
	l.run(cfg).serves()
}

// TestTCPProbe: also after a crash, when others' connections wait.
func TestTCPProbe(t *testing.T) {
	for _, role := range []string{"listen :7001", "plain :7001"} {
		t.Run(role, func(t *testing.T) {
			l := newLab(t, nil)
			cfg := server("one", role, ":7001")
			cfg.Ready.Probe = config.ProbeTCP
			s := l.run(cfg)
			s.serves()
			c := l.dial("127.0.0.1:7001")
			c.expect("1", "add 1")
			s.kill(l)
			s.serves()
			c.expect("2", "add 1")
		})
	}
}

// TestUpdate: what needs no restart changes without one.
func TestUpdate(t *testing.T) {
	l := newLab(t, nil)
	cfg := server("one", "listen :7001")
	s := l.run(cfg)
	s.serves()
	pid := s.pid(l)
	cfg.Quota, cfg.OnFull = 1234567, policy.Unprotect
	if err := s.Update(cfg); err != nil {
		t.Fatal(err)
	}
	if p := s.program(l); p.Log.Quota != 1234567 || p.Log.OnFull != "unprotect" || p.Process.PID != pid {
		t.Errorf("%+v", p)
	}
	cfg.Listen = []string{":7009"}
	if err := s.Update(cfg); err == nil {
		t.Error("other addresses were accepted")
	}
	cfg.Mode = config.ModeUnmodified
	if err := s.Update(cfg); err == nil {
		t.Error("another mode was accepted")
	}
}
