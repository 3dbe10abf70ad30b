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
	"github.com/spf13/cobra"

	"github.com/ftnet/ftnet/internal/certs"
	"github.com/ftnet/ftnet/internal/fwmark"
	"github.com/ftnet/ftnet/internal/ownership"
	"github.com/ftnet/ftnet/internal/policy"
	"github.com/ftnet/ftnet/internal/runtimedir"
	"github.com/ftnet/ftnet/internal/supervisor"
	"github.com/ftnet/ftnet/recovery"
	"github.com/ftnet/ftnet/recovery/config"
)

// parse reads a command line of `ftnet run` as the command does.
func parse(t *testing.T, line string) *config.File {
	t.Helper()
	var o runOptions
	cmd := &cobra.Command{}
	o.flags(cmd)
	err := cmd.ParseFlags(strings.Fields(line))
	if err != nil {
		t.Fatal(err)
	}
	f, err := o.file(cmd.Flags().Args())
	if err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	return f
}

func TestRunFlags(t *testing.T) {
	got := parse(t, "--quota 1GiB --quota-total=4GiB --on-full reset --user www:www --interface eth0 --interface lo --mark 0x10/0xff "+
		"--max-connections 10 --restart-limit 0 --restart-window 1m --stop-timeout 3s --drain 0s --name n --runtime-dir /r --bpffs /b "+
		"--log-level warn -- srv --quota x")
	log, engine := config.Defaults()
	log.QuotaTotal = 4 << 30
	engine.Interfaces, engine.MaxConnections, engine.RuntimeDir, engine.BPFFS = []string{"eth0", "lo"}, 10, "/r", "/b"
	engine.LogLevel, engine.Mark = "warn", fwmark.Mark{Value: 0x10, Mask: 0xff}
	svc := config.NewService("n", config.ModeListen, "srv", "--quota", "x")
	svc.User, svc.Quota, svc.OnFull, svc.Interfaces = "www:www", 1<<30, policy.ResetConn, engine.Interfaces
	svc.StopTimeout, svc.StopSignal, svc.Drain = 3*time.Second, 0, 0
	svc.Restart.Limit, svc.Restart.Window = 0, time.Minute
	want := &config.File{Log: log, Engine: engine, Services: []config.Service{svc}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestRunNames: a service has its command's name, if that can be one.
func TestRunNames(t *testing.T) {
	for command, want := range map[string]string{
		"/usr/bin/redis-server": "redis-server", "./my=server.sh": "my_server.sh", "./-x": "s-x", "admin": "sadmin",
		strings.Repeat("x", 70): strings.Repeat("x", 64),
	} {
		if got := parse(t, "-- "+command).Services[0].Name; got != want {
			t.Errorf("%s: %s, want %s", command, got, want)
		}
	}
}

func TestRunLogFlags(t *testing.T) {
	for line, want := range map[string]config.Log{
		"x": {URL: "memory:", Recover: true},
		"--log file:///a/b --log-key /k --quota-total 1TiB -- x": {
			URL: "file:///a/b", Recover: true, KeyFile: "/k", QuotaTotal: 1 << 40},
		"--log ftlog://h:1 --log-ca /a --log-cert /c --log-tls-key /k --log-server-name n -- x": {
			URL: "ftlog://h:1", Recover: true, TLS: certs.Files{Authority: "/a", Cert: "/c", Key: "/k"}, ServerName: "n"},
		"--log file:///a --recover -- x":       {URL: "file:///a", Recover: true},
		"--log file:///a --recover=false -- x": {URL: "file:///a"},
	} {
		if diff := cmp.Diff(want, parse(t, line).Log); diff != "" {
			t.Errorf("%s: %s", line, diff)
		}
	}
}

func TestRunDownFlags(t *testing.T) {
	got := parse(t, "--when-log-down unprotect --log-down-after 3s -- srv").Services[0].Log
	if got.WhenDown != policy.DownUnprotect || got.DownAfter != 3*time.Second {
		t.Errorf("%+v", got)
	}
}

func TestRunDeadFlags(t *testing.T) {
	for line, want := range map[string]time.Duration{
		"srv":                            0,
		"--when-engine-dead hold -- srv": 0,
		"--when-engine-dead open -- srv": 2 * time.Second,
		"--when-engine-dead open --engine-dead-after 700ms -- srv": 700 * time.Millisecond,
	} {
		if got := parse(t, line).Engine.Patience(); got != want {
			t.Errorf("%s: %v", line, got)
		}
	}
}

func TestRunUnmodifiedFlags(t *testing.T) {
	got := parse(t, "--unmodified --listen :7000 --listen [::1]:7001 --compare length --log-policy idle --log-idle 5s -- srv").Services[0]
	want := config.NewService("srv", config.ModeUnmodified, "srv")
	want.Listen, want.Compare, want.StopSignal = []string{":7000", "[::1]:7001"}, policy.CompareLength, 0
	want.Log.Keep, want.Log.Idle = policy.LogSinceIdle, 5*time.Second
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got := parse(t, "--unmodified=false -- srv").Services[0].Mode; got != config.ModeListen {
		t.Error(got)
	}
}

// TestRunRefusesAll: all that is wrong is said at once.
func TestRunRefusesAll(t *testing.T) {
	out, code := execute(strings.Fields("run --quota 1 --restart-limit -2 --log-down-after 5s -- x")...)
	for _, says := range []string{"--quota: ", "--restart-limit: ", "--log-down-after has no meaning without --when-log-down"} {
		if code != exitUsage || !strings.Contains(out, says) {
			t.Errorf("exit %d: %q is missing in\n%s", code, says, out)
		}
	}
}

func TestRunRefuses(t *testing.T) {
	for line, says := range map[string]string{
		"run":                   "COMMAND is missing",
		"run --quota 0 -- x":    "--quota",
		"run --quota 1 -- x":    "--quota: 1 is out of range (between 64KiB and ",
		"run --quota lots -- x": "64MiB",
		"run --quota 2GiB --quota-total 1GiB -- x": "--quota is above --quota-total",
		"run --on-full explode -- x":               `"close-window", "unprotect" or "reset"`,
		"run --restart-limit -2 -- x":              "--restart-limit",
		"run --restart-window 0s -- x":             "--restart-window",
		"run --stop-timeout -1s -- x":              "--stop-timeout",
		"run --drain -1s -- x":                     "--drain",
		"run --max-connections 0 -- x":             "--max-connections",
		"run --max-connections 100000000 -- x":     "--max-connections: 100000000 is out of range",
		"run --restart-limit x -- x":               "want a whole number",
		"run --stop-timeout 5 -- x":                "for --stop-timeout: want a duration such as 5s",
		"doctor foo":                               `unexpected argument "foo"`,
		"run --log-level loud -- x":                `--log-level wants "trace", "debug", "info"`,
		"run --no-such-flag -- x":                  "unknown flag",

		"run --unmodified -- x":                               "--listen is required",
		"run --unmodified --listen 7000 -- x":                 `did you mean ":7000"?`,
		"run --unmodified --listen :http -- x":                "from 1 to 65535",
		"run --listen :0 -- x":                                "from 1 to 65535",
		"run --listen localhost:7 -- x":                       "IP address",
		"run --unmodified --listen :7 --compare much -- x":    `"strict" or "length"`,
		"run --unmodified --listen :7 --log-policy some -- x": `"full", "idle" or "off"`,
		"run --unmodified --listen :7 --log-idle 0s -- x":     "--log-idle",
		"run --compare length -- x":                           "without --unmodified",
		"run --log-policy idle -- x":                          `--log-policy "idle" needs --unmodified`,
		"run --unmodified --listen :7 --log-idle 2s -- x":     `--log-idle has no meaning without --log-policy "idle"`,
		"run --log-policy off -- x":                           `--log-policy "off" needs --unmodified`,
		"no-such-command":                                     "unknown command",

		"run --log disk -- x":                                      "--log: \"disk\" is not the URL",
		"run --log /var/lib/x -- x":                                `did you mean "file:///var/lib/x"?`,
		"run --when-log-down wait -- x":                            `"hold" or "unprotect"`,
		"run --log-down-after 5s -- x":                             "without --when-log-down",
		"run --when-log-down unprotect --log-down-after 0s -- x":   "--log-down-after: 0s is out of range",
		"run --when-engine-dead wait -- x":                         `"hold" or "open"`,
		"run --engine-dead-after 5s -- x":                          "without --when-engine-dead",
		"run --when-engine-dead open --engine-dead-after 1ms -- x": "between 500ms",
		"run --log-key k -- x":                                     "--log-key has no meaning",
		"run --recover -- x":                                       "--recover has no meaning",
		"run --recover=perhaps --log file:///d -- x":               "invalid argument",
		"run --log file:///d --log-ca c -- x":                      "--log-ca has no meaning",
		"run --log file:///d --log-server-name n -- x":             "--log-server-name has no meaning",
		"run --log ftlog://h:1 --log-ca c -- x":                    "needs --log-cert",
		"run --log ftlog://h -- x":                                 "the port is missing",
		"run --log ftlog://h:1 --log-ca c --log-cert c --log-tls-key k --quota-total 1GiB -- x": "--quota-total has no meaning",
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
		{wrap(&recovery.OwnershipError{Err: ownership.ErrLost}), 71},
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
