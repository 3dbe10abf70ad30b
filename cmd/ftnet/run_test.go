package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"os/user"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"github.com/ftnet/ftnet/internal/certs"
	"github.com/ftnet/ftnet/internal/runtimedir"
	"github.com/ftnet/ftnet/internal/supervisor"
	"github.com/ftnet/ftnet/logserver/backend"
	"github.com/ftnet/ftnet/recovery"
)

// parse reads a command line of `ftnet run` as the command does.
func parse(t *testing.T, line string) (*runOptions, []string, error) {
	t.Helper()
	o := defaultRunOptions()
	cmd := &cobra.Command{}
	o.flags(cmd)
	if err := cmd.ParseFlags(strings.Fields(line)); err != nil {
		return nil, nil, err
	}
	return o, cmd.Flags().Args(), nil
}

func TestRunFlags(t *testing.T) {
	o, args, err := parse(t, "--quota 1GiB --quota-total=4GiB --on-full reset --user www:www --interface eth0 --interface lo "+
		"--max-connections 10 --restart-limit 0 --restart-window 1m --stop-timeout 3s --drain 0s --name n --runtime-dir /r --bpffs /b -- srv --quota x")
	if err != nil {
		t.Fatal(err)
	}
	got, err := o.config(args, hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	got.Logger, got.Supervisor.Logger = nil, nil
	command := []string{"srv", "--quota", "x"}
	want := recovery.Config{
		Name: "n", Mode: recovery.ModeListen, Command: command, User: "www:www", Quota: 1 << 30, QuotaTotal: 4 << 30, OnFull: recovery.Reset,
		LogURL: "memory:", LogDown: recovery.DownHold, DownAfter: 10 * time.Second, Interfaces: []string{"eth0", "lo"}, MaxConns: 10, RuntimeDir: "/r", BPFFS: "/b", Drain: recovery.NoDrain,
		Supervisor: supervisor.Config{Command: command, User: "www:www", StopTimeout: 3 * time.Second,
			RestartLimit: supervisor.NoRestarts, RestartWindow: time.Minute},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestRunLogFlags(t *testing.T) {
	for line, want := range map[string]recovery.Config{
		"x": {LogURL: "memory:"},
		"--log file:///a//b/ --log-key /k --quota-total 1TiB -- x": {
			LogURL: "file:///a/b", LogOptions: backend.Options{KeyFile: "/k"}, QuotaTotal: 1 << 40},
		"--log ftlog://h:01 --log-ca a --log-cert c --log-tls-key k --log-server-name n -- x": {
			LogURL:     "ftlog://h:1",
			LogOptions: backend.Options{TLS: certs.Files{Authority: "a", Cert: "c", Key: "k"}, ServerName: "n"}},
		"--log file:///a --recover -- x":       {LogURL: "file:///a"},
		"--log file:///a --recover=false -- x": {LogURL: "file:///a", Forget: true},
	} {
		o, args, err := parse(t, line)
		if err != nil {
			t.Fatal(err)
		}
		got, err := o.config(args, hclog.NewNullLogger())
		if err != nil {
			t.Errorf("%s: %v", line, err)
			continue
		}
		if diff := cmp.Diff(want, recovery.Config{LogURL: got.LogURL, LogOptions: got.LogOptions, Forget: got.Forget, QuotaTotal: got.QuotaTotal}); diff != "" {
			t.Errorf("%s: %s", line, diff)
		}
	}
}

func TestRunDownFlags(t *testing.T) {
	o, args, err := parse(t, "--when-log-down unprotect --log-down-after 3s -- srv")
	if err != nil {
		t.Fatal(err)
	}
	got, err := o.config(args, hclog.NewNullLogger())
	if err != nil || got.LogDown != recovery.DownUnprotect || got.DownAfter != 3*time.Second {
		t.Errorf("%v, %v, %v", got.LogDown, got.DownAfter, err)
	}
}

func TestRunDeadFlags(t *testing.T) {
	for line, want := range map[string]time.Duration{
		"srv":                            0,
		"--when-engine-dead hold -- srv": 0,
		"--when-engine-dead open -- srv": 2 * time.Second,
		"--when-engine-dead open --engine-dead-after 700ms -- srv": 700 * time.Millisecond,
	} {
		o, args, err := parse(t, line)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := o.config(args, hclog.NewNullLogger()); err != nil || got.DeadAfter != want {
			t.Errorf("%s: %v, %v", line, got.DeadAfter, err)
		}
	}
}

func TestRunUnmodifiedFlags(t *testing.T) {
	o, args, err := parse(t, "--unmodified --listen :7000 --listen [::1]:7001 --compare length --log-policy idle --log-idle 5s -- srv")
	if err != nil {
		t.Fatal(err)
	}
	got, err := o.config(args, hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	want := recovery.Config{Mode: recovery.ModeUnmodified, Listen: []string{":7000", "[::1]:7001"},
		Compare: recovery.CompareLength, Log: recovery.LogSinceIdle, Idle: 5 * time.Second}
	if diff := cmp.Diff(want, recovery.Config{Mode: got.Mode, Listen: got.Listen, Compare: got.Compare, Log: got.Log, Idle: got.Idle}); diff != "" {
		t.Error(diff)
	}
}

func TestRunRefuses(t *testing.T) {
	for line, says := range map[string]string{
		"run":                   "COMMAND is missing",
		"run --quota 0 -- x":    "--quota",
		"run --quota 1 -- x":    "--quota: 1B: the least that makes sense is 64KiB",
		"run --quota lots -- x": "64MiB",
		"run --quota 2GiB --quota-total 1GiB -- x": "below the quota",
		"run --on-full explode -- x":               "close-window, unprotect or reset",
		"run --restart-limit -2 -- x":              "--restart-limit",
		"run --restart-window 0s -- x":             "--restart-window",
		"run --stop-timeout -1s -- x":              "--stop-timeout",
		"run --drain -1s -- x":                     "--drain",
		"run --max-connections 0 -- x":             "--max-connections",
		"run --max-connections 100000000 -- x":     "--max-connections: must be from 1 to",
		"run --restart-limit x -- x":               "want a whole number",
		"run --stop-timeout 5 -- x":                "for --stop-timeout: want a duration such as 5s",
		"doctor foo":                               `unexpected argument "foo"`,
		"run --log-level loud -- x":                "none of trace, debug, info",
		"run --no-such-flag -- x":                  "unknown flag",

		"run --unmodified -- x":                               "Add --listen",
		"run --unmodified --listen 7000 -- x":                 "HOST:PORT",
		"run --unmodified --listen :http -- x":                "from 1 to 65535",
		"run --listen :0 -- x":                                "from 1 to 65535",
		"run --listen localhost:7 -- x":                       "IP address",
		"run --unmodified --listen :7 --compare much -- x":    "strict or length",
		"run --unmodified --listen :7 --log-policy some -- x": "full, idle or off",
		"run --unmodified --listen :7 --log-idle 0s -- x":     "--log-idle",
		"run --compare length -- x":                           "needs --unmodified",
		"run --log-policy off -- x":                           "need --unmodified",
		"no-such-command":                                     "unknown command",

		"run --log disk -- x":                                      "--log: \"disk\" is not the URL",
		"run --log /var/lib/x -- x":                                `did you mean "file:///var/lib/x"?`,
		"run --when-log-down wait -- x":                            "hold or unprotect",
		"run --log-down-after 5s -- x":                             "needs --when-log-down unprotect",
		"run --when-log-down unprotect --log-down-after 0s -- x":   "must be above 0",
		"run --when-engine-dead wait -- x":                         "neither hold nor open",
		"run --engine-dead-after 5s -- x":                          "needs --when-engine-dead open",
		"run --when-engine-dead open --engine-dead-after 1ms -- x": "at least 500ms",
		"run --log-key k -- x":                                     "--log-key is for --log file:///DIR only",
		"run --recover -- x":                                       "--recover is for --log file: and ftlog: only",
		"run --recover=perhaps --log file:///d -- x":               "invalid argument",
		"run --log file:///d --log-ca c -- x":                      "--log-ca is for --log ftlog:",
		"run --log file:///d --log-server-name n -- x":             "--log-server-name is for --log ftlog:",
		"run --log ftlog://h:1 --log-ca c -- x":                    "--log-cert is required with --log ftlog://h:1",
		"run --log ftlog://h -- x":                                 "the port is missing",
		"run --log ftlog://h:1 --log-ca c --log-cert c --log-tls-key k --quota-total 1GiB -- x": "--quota-total is for",
	} {
		if out, code := execute(strings.Fields(line)...); code != exitUsage || !strings.Contains(out, says) {
			t.Errorf("ftnet %s: exit %d: %s", line, code, out)
		}
	}
}

// TestRunNamesInterface: the flag is named whose interface is not there.
func TestRunNamesInterface(t *testing.T) {
	if out, code := execute("run", "--interface", "none9", "--", "true"); code != exitEngine || !strings.Contains(out, "--interface none9: ") {
		t.Errorf("exit %d: %s", code, out)
	}
}

func TestExitCode(t *testing.T) {
	wrap := func(err error) error { return fmt.Errorf("run: %w", err) }
	stopped := func(e supervisor.Exit) error { return &supervisor.ExitError{Exit: e} }
	for _, tt := range []struct {
		err  error
		want int
	}{
		{nil, 0},
		{wrap(stopped(supervisor.Exit{Code: 7})), 7},
		{wrap(stopped(supervisor.Exit{Code: -1, Signal: 15})), 143},
		{wrap(&supervisor.GaveUpError{}), 71},
		{wrap(&supervisor.GaveUpError{Last: &supervisor.StartError{Err: fs.ErrNotExist}}), 71},
		{wrap(&supervisor.StartError{Err: exec.ErrNotFound}), 127},
		{wrap(&supervisor.StartError{Err: fs.ErrPermission}), 126},
		{wrap(user.UnknownUserError("x")), 126},
		{wrap(&recovery.PortTakenError{Address: ":7"}), 71},
		{wrap(&runtimedir.PortTakenError{}), 71},
		{wrap(fs.ErrPermission), 77},
		{errors.New("any other"), 70},
		{errCheckFailed, 1},
	} {
		if got := exitCode(tt.err); got != tt.want {
			t.Errorf("%v: %d, want %d", tt.err, got, tt.want)
		}
	}
}

func TestVersion(t *testing.T) {
	if out, code := execute("version"); code != 0 || !strings.HasPrefix(out, "ftnet ") {
		t.Error(code, out)
	}
}
