package config_test

import (
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ftnet/ftnet/internal/certs"
	"github.com/ftnet/ftnet/internal/policy"
	"github.com/ftnet/ftnet/internal/supervisor"
	"github.com/ftnet/ftnet/logserver/backend"
	"github.com/ftnet/ftnet/recovery/config"
)

func parse(t *testing.T, text string) *config.File {
	t.Helper()
	f, err := config.Parse("/etc/ftnet/services.toml", []byte(text), newMachine())
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return f
}

var ignoreBinary = cmpopts.IgnoreTypes(config.Binary{})

const smallest = `[log]
url = "memory:"
[[service]]
name = "counter"
listen = [":7000"]
mode = "listen"            # the server calls ftnet.Listen; "unmodified" for any other binary
command = ["./counter", ":7000"]
`

func TestSmallest(t *testing.T) {
	want := &config.File{
		Name:   "/etc/ftnet/services.toml",
		Log:    config.Log{URL: "memory:", Recover: true},
		Engine: config.Engine{MaxConnections: 65536, LogLevel: "info", WhenDead: config.DeadHold, DeadAfter: 2 * time.Second},
		Services: []config.Service{{
			Position: config.Position{File: "/etc/ftnet/services.toml", Line: 3, Column: 3},
			Name:     "counter", Mode: config.ModeListen, Listen: []string{":7000"},
			Command: []string{"./counter", ":7000"}, Dir: "/etc/ftnet",
			Ready:      config.Ready{Probe: "listening", Interval: 100 * time.Millisecond, Timeout: time.Second},
			Restart:    config.Restart{Policy: "on-crash", Limit: 25, Window: 20 * time.Second, Backoff: 10 * time.Millisecond, BackoffMax: 500 * time.Millisecond},
			StopSignal: syscall.SIGTERM, StopTimeout: 10 * time.Second, Drain: 5 * time.Second,
			Quota: 64 << 20, OnFull: policy.CloseWindow,
			Log: config.LogPolicy{Keep: policy.LogFull, Idle: time.Second, WhenDown: policy.DownHold, DownAfter: 10 * time.Second},
		}},
	}
	if diff := cmp.Diff(want, parse(t, smallest), ignoreBinary); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// everything sets each key to something else than its default.
const everything = `
log = { url = "memory:", quota-total = "4GiB" }
[engine]
interfaces = ["eth0", "lo"]
max-connections = 1_000
runtime-dir = "/run/other/"
bpffs = "/run/bpf/"
log-level = "debug"
when-dead = "open"
dead-after = "700ms"
[[service]]
name = "a.b_c-1"
mode = "unmodified"
listen = ["127.0.0.1:80", "[2001:db8::1]:80", ":443"]
command = ["redis-server", "--save", ""]
args = ["--port", "80"]
env = { LANG = "C", "odd key" = "" }
dir = "../../srv/web"
user = "redis:ssl-cert"
groups = ["www-data", "0"]
interfaces = ["lo", "eth0"]
drain = "0s"
quota = 65536
on-full = "reset"
compare = "length"
log.since = "idle"
log.idle = "250ms"
log.when-down = "unprotect"
log.down-after = "1m"
[service.ready]
probe = "command"
command = ["redis-cli", "ping"]
interval = "1m"
timeout = "2s"
[service.restart]
policy = "always"
limit = -1
window = "1h"
backoff = "1s"
backoff-max = "1s"
[service.stop]
signal = "SIGQUIT"
timeout = "1m30s"
[service.limits]
nofile = "1024:65536"
core = 0
as = "2 GiB"
cpu = "10m"
memlock = "unlimited"
`

func TestEverything(t *testing.T) {
	f := parse(t, everything)
	want := config.Service{
		Name: "a.b_c-1", Mode: config.ModeUnmodified, Listen: []string{"127.0.0.1:80", "[2001:db8::1]:80", ":443"},
		Command: []string{"redis-server", "--save", ""}, Args: []string{"--port", "80"},
		Env: map[string]string{"LANG": "C", "odd key": ""}, Dir: "/srv/web", User: "redis:ssl-cert", Groups: []string{"www-data", "0"},
		Limits: config.Limits{
			"nofile": {Soft: 1024, Hard: 65536}, "core": {}, "as": {Soft: 2 << 30, Hard: 2 << 30}, "cpu": {Soft: 600, Hard: 600},
			"memlock": {Soft: config.Unlimited, Hard: config.Unlimited},
		},
		Ready:      config.Ready{Probe: "command", Command: []string{"redis-cli", "ping"}, Interval: time.Minute, Timeout: 2 * time.Second},
		Restart:    config.Restart{Policy: "always", Limit: -1, Window: time.Hour, Backoff: time.Second, BackoffMax: time.Second},
		StopSignal: syscall.SIGQUIT, StopTimeout: 90 * time.Second,
		Interfaces: []string{"lo", "eth0"}, Quota: 65536, OnFull: policy.ResetConn, Compare: policy.CompareLength,
		Log: config.LogPolicy{Keep: policy.LogSinceIdle, Idle: 250 * time.Millisecond, WhenDown: policy.DownUnprotect, DownAfter: time.Minute},
	}
	if diff := cmp.Diff(want, f.Services[0], ignoreBinary, cmpopts.IgnoreTypes(config.Position{})); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if diff := cmp.Diff(config.Engine{Interfaces: []string{"lo", "eth0"}, MaxConnections: 1000, RuntimeDir: "/run/other", BPFFS: "/run/bpf", LogLevel: "debug", WhenDead: config.DeadOpen, DeadAfter: 700 * time.Millisecond}, f.Engine); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	s := f.Service("a.b_c-1")
	if got := s.Argv(); strings.Join(got, " ") != "redis-server --save  --port 80" {
		t.Errorf("%q", got)
	}
	if got := s.Addresses(); got[1] != netip.MustParseAddrPort("[2001:db8::1]:80") || got[2].Addr().IsValid() {
		t.Errorf("%v", got)
	}
	if s.Binary.Path != "/usr/bin/redis-server" || f.Log.QuotaTotal != 4<<30 || f.Service("x") != nil {
		t.Errorf("%+v", f)
	}
}

// TestLogs has each kind of log, with all its keys.
func TestLogs(t *testing.T) {
	const service = "\n[[service]]\nname = \"x\"\nmode = \"listen\"\ncommand = [\"./server\"]\n"
	for text, want := range map[string]config.Log{
		`log.url = "file:///var/lib/ftnet"`:                        {URL: "file:///var/lib/ftnet", Recover: true},
		`log = { url = "file:///var/lib/ftnet", recover = false }`: {URL: "file:///var/lib/ftnet"},
		`log = { url = "file:///var/lib/ftnet", quota-total = "1TiB", key-file = "log.key" }`: {
			URL: "file:///var/lib/ftnet", Recover: true, QuotaTotal: 1 << 40, KeyFile: "/etc/ftnet/log.key",
		},
		`log = { url = "file:///srv/web", key-file = "credential:log" }`: {URL: "file:///srv/web", Recover: true, KeyFile: "credential:log"},
		`log = { url = "ftlog://log.example:7070", tls = { ca = "ca.pem", cert = "/etc/ftnet/client.pem", key = "../ftnet/client.key", server-name = "other" } }`: {
			URL: "ftlog://log.example:7070", Recover: true, ServerName: "other",
			TLS: certs.Files{Authority: "/etc/ftnet/ca.pem", Cert: "/etc/ftnet/client.pem", Key: "/etc/ftnet/client.key"},
		},
	} {
		if diff := cmp.Diff(want, parse(t, text+service).Log); diff != "" {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
	}
}

// TestLogOptions: nothing that the file says of the log is forgotten.
func TestLogOptions(t *testing.T) {
	tls := certs.Files{Authority: "ca", Cert: "cert", Key: "key"}
	f := config.File{Services: []config.Service{{Name: "a"}, {Name: "b"}},
		Log: config.Log{URL: "ftlog://h:1", QuotaTotal: 1, KeyFile: "k", TLS: tls, ServerName: "n"}}
	want := backend.Options{QuotaTotal: 1, KeyFile: "k", TLS: tls, ServerName: "n", Services: []string{"a", "b"}}
	if diff := cmp.Diff(want, f.Log.Options(f.Names())); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestForms has two ways to write the same.
func TestForms(t *testing.T) {
	const head = "[[service]]\nname = \"x\"\nmode = \"unmodified\"\nlisten = [\":1\"]\ncommand = [\"./server\"]\n"
	for _, pair := range [][2]string{
		{head + `restart = "never"`, head + "[service.restart]\npolicy = \"never\""},
		{head + `ready = "tcp"`, head + `ready = { probe = "tcp", address = ":1" }`},
		{head + `log = { since = "idle" }`, head + "log.since = \"idle\"\nlog.idle = \"1s\""},
		{head + `log = { when-down = "hold" }`, head + `log = "full"`},
		{head + `stop.signal = "TERM"`, head},
		{head + `quota = "64MiB"`, head + `quota = 0x4000000`},
		{head, `service = [{ name = "x", mode = "unmodified", listen = [":1"], command = ["./server"] }]`},
		{"engine.interfaces = [\"lo\"]\n" + head, head + `interfaces = ["lo"]`},
	} {
		a, b := parse(t, pair[0]), parse(t, pair[1])
		if diff := cmp.Diff(a.Services, b.Services, cmpopts.IgnoreTypes(config.Position{})); diff != "" {
			t.Errorf("%s\n---\n%s\n---\n%s", pair[0], pair[1], diff)
		}
	}
}

// TestSupervisorKnows: the supervisor can set each limit that a file may have.
func TestSupervisorKnows(t *testing.T) {
	for _, name := range config.LimitNames() {
		if !strings.Contains(" "+strings.Join(supervisor.LimitNames(), " ")+" ", " "+name+" ") {
			t.Errorf("the supervisor knows no limit %q", name)
		}
	}
}

// TestLoad reads from the disk, with this machine's accounts and programs.
func TestLoad(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "services.toml")
	if _, err := config.Load(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
	text := "[[service]]\nname = \"x\"\nmode = \"listen\"\ncommand = [\"./x\"]\nuser = \"0\"\ngroups = [\"root\"]\n"
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	var diags config.Diagnostics
	if _, err := config.Load(path); !errors.As(err, &diags) || len(diags) != 1 || diags[0].Line != 4 {
		t.Errorf("%v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "x"), []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if s := f.Services[0]; s.Dir != dir || s.Binary.Inode == 0 || s.Binary.Path != filepath.Join(dir, "x") {
		t.Errorf("%+v", s)
	}
	if err := os.WriteFile(path, make([]byte, config.MaxSize+1), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := config.Load(path); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("%v", err)
	}
}
