package daemon

import (
	"os"
	"reflect"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ftnet/ftnet/internal/certs"
	"github.com/ftnet/ftnet/internal/supervisor"
	"github.com/ftnet/ftnet/logserver/backend"
	"github.com/ftnet/ftnet/recovery"
	"github.com/ftnet/ftnet/recovery/config"
)

func full() config.Service {
	return config.Service{
		Name: "a", Mode: config.ModeUnmodified, Listen: []string{":1"},
		Command: []string{"x", "1"}, Args: []string{"2"}, Env: map[string]string{"K": "v"}, Dir: "/d", User: "u", Groups: []string{"g"},
		Limits:     config.Limits{"nofile": {Soft: 1, Hard: 2}, "core": {Hard: config.Unlimited}},
		Ready:      config.Ready{Probe: "command", Address: ":2", Command: []string{"p"}, Interval: 1, Timeout: 2},
		Restart:    config.Restart{Policy: "always", Limit: 3, Window: 4, Backoff: 5, BackoffMax: 6},
		StopSignal: syscall.SIGQUIT, StopTimeout: 7, Drain: 8,
		Quota: 9, OnFull: "reset", Log: config.LogPolicy{Keep: config.KeepIdle, Idle: 10, WhenDown: config.DownUnprotect, DownAfter: 11}, Compare: "length",
	}
}

// TestLogOptions: nothing that the file says of the log is forgotten.
func TestLogOptions(t *testing.T) {
	tls := certs.Files{Authority: "ca", Cert: "cert", Key: "key"}
	got := logOptions(&config.File{Services: []config.Service{{Name: "a"}, {Name: "b"}},
		Log: config.Log{URL: "ftlog://h:1", KeyFile: "k", TLS: tls, ServerName: "n"}})
	want := backend.Options{KeyFile: "k", TLS: tls, ServerName: "n", Services: []string{"a", "b"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestServiceConfig: nothing that the file says is forgotten.
func TestServiceConfig(t *testing.T) {
	c := full()
	got := serviceConfig(&c, os.Stdout, os.Stderr)
	v := reflect.ValueOf(got)
	for i := range v.NumField() {
		switch name := v.Type().Field(i).Name; name {
		case "Stdin", "Signals": // /dev/null, none
		default:
			if v.Field(i).IsZero() {
				t.Errorf("%s is not set", name)
			}
		}
	}
	if got.Stdout != os.Stdout || got.Stderr != os.Stderr {
		t.Error("output")
	}
	got.Env, got.Stdout, got.Stderr = nil, nil, nil
	want := recovery.ServiceConfig{
		Name: "a", Mode: recovery.ModeUnmodified, Listen: []string{":1"},
		Command: []string{"x", "1", "2"}, Dir: "/d", User: "u", Groups: []string{"g"},
		Limits: []supervisor.Limit{{Resource: "core", Hard: supervisor.Unlimited}, {Resource: "nofile", Soft: 1, Hard: 2}},
		Ready:  recovery.Readiness{Probe: recovery.ProbeCommand, Address: ":2", Command: []string{"p"}, Interval: 1, Timeout: 2},
		Restart: recovery.RestartPolicy{Policy: supervisor.Always, Limit: 3, Window: 4,
			Backoff: supervisor.Backoff{First: 5, Max: 6}},
		StopSignal: syscall.SIGQUIT, StopTimeout: 7, Drain: 8,
		Quota: 9, OnFull: recovery.Reset, Log: recovery.LogSinceIdle, Idle: 10, LogDown: recovery.DownUnprotect, DownAfter: 11, Compare: recovery.CompareLength,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestServiceConfigZero: what is zero in the file does not become a default.
func TestServiceConfigZero(t *testing.T) {
	c := full()
	c.Restart.Limit, c.Drain = 0, 0
	got := serviceConfig(&c, nil, nil)
	if got.Restart.Limit != supervisor.NoRestarts || got.Drain != recovery.NoDrain {
		t.Error(got.Restart.Limit, got.Drain)
	}
	c.Restart.Limit, c.Drain = -1, time.Second
	got = serviceConfig(&c, nil, nil)
	if got.Restart.Limit != supervisor.NoLimit || got.Drain != time.Second {
		t.Error(got.Restart.Limit, got.Drain)
	}
}

func TestEnvironment(t *testing.T) {
	own := []string{"PATH=/bin", "NOTIFY_SOCKET=/run/n", "WATCHDOG_USEC=1", "WATCHDOG_PID=2", "LANG=C", "A=1"}
	got := environment(own, map[string]string{"A": "2", "B": "x=y"})
	if diff := cmp.Diff([]string{"A=2", "B=x=y", "LANG=C", "PATH=/bin"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if own[1] != "NOTIFY_SOCKET=/run/n" {
		t.Error("the daemon's own environment was changed")
	}
}
