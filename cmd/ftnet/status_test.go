package main

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ftnet/ftnet/internal/policy"
	"github.com/ftnet/ftnet/internal/reason"
	"github.com/ftnet/ftnet/internal/runtimedir"
	"github.com/ftnet/ftnet/internal/status"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *rewrite {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

func document() *status.Document {
	now := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	return &status.Document{
		Version: status.Version, Time: now,
		Engine: status.Engine{ID: "00c0ffee", Name: "counter", Version: "v0.1.0", PID: 17, Started: now.Add(-26 * time.Hour),
			Interfaces: []string{"lo", "eth0"}},
		Programs: []status.Program{
			{Name: "counter", Mode: "listen", Command: []string{"./counter", "-listen", ":7000"}, Ready: true,
				Process: status.Process{State: status.ProcessRunning, PID: 23, Since: now.Add(-90 * time.Second), Restarts: 3,
					LastExit: "killed by signal 9 (killed)"},
				Log: status.ProgramLog{Policy: "full", Quota: 64 << 20, OnFull: "close-window"}},
			{Name: "old", Mode: "unmodified", Command: []string{"old"},
				Process: status.Process{State: status.ProcessStopped, Since: now.Add(-time.Hour)}, Log: status.ProgramLog{Policy: "off"}},
			{Name: "web", Mode: "unmodified", Command: []string{"nginx", "-g", "daemon off;"}, WorkerCrashes: 2,
				Process: status.Process{State: status.ProcessRunning, PID: 24, Since: now.Add(-100 * time.Millisecond)},
				Log:     status.ProgramLog{Policy: "idle", Idle: 1.5, Quota: 1 << 20, OnFull: "unprotect"}},
		},
		Services: []status.Service{{Program: "web", Network: "tcp", Address: ":8080", State: status.ServiceStarting, Compare: policy.CompareLength},
			{Program: "counter", Network: "tcp", Address: "[::]:7000", State: status.ServiceListening, Compare: policy.CompareStrict,
				Connections: 3, Accepted: 120, Recovered: 9, Outages: 3, LastOutage: 0.01234, LongestOutage: 0.0421,
				Handshakes: []status.Handshake{
					{Interface: "eth0", Network: "tcp4", Reason: "a SYN from 192.0.2.7 to 192.0.2.1 was not answered", Since: now.Add(-5 * time.Minute)},
					{Interface: "eth0", Network: "tcp6", Reason: "a SYN from 2001:db8::1 to 2001:db8::2 was refused", Since: now.Add(-2 * time.Second)},
					{Interface: "lo", Network: "tcp4", Answered: true, Since: now.Add(-time.Hour)}},
				Unprotected: map[string]uint64{string(reason.LogFull): 1, string(reason.Translated): 12, string(reason.NoSlots): 1}}},
		Connections: []status.Connection{
			{ID: 1, Client: "192.0.2.7:40001", Server: "192.0.2.1:7000", State: "live", Protection: status.Protected, How: "read by read", Age: 3700, Idle: 0.2, Program: "counter",
				BytesIn: 5 << 20, BytesOut: 4096, BytesLogged: 5 << 20, Recoveries: 3},
			{ID: 2, Client: "192.0.2.7:40002", Server: "192.0.2.1:7000", State: "live", Protection: status.Protected, How: "read by read", Program: "counter", Age: 61, StableLag: 1448, HeldACK: true},
			{ID: 3, Client: "[2001:db8::1]:5", Server: "[2001:db8::2]:7000", State: "live", Protection: status.Unprotected, Reason: reason.LogFull.With("quota"), Program: "counter", Age: 5},
			{ID: 5, Client: "192.0.2.7:40004", Server: "192.0.2.1:7000", State: "lingering", Protection: status.Over,
				Reason: "it is over; late segments are answered", Program: "counter", Age: 9, StableLag: 1},
			{ID: 4, Client: "192.0.2.7:40003", Server: "192.0.2.1:8080", State: "outage", Protection: status.Protected,
				How: "on the wire, length", Program: "web", Age: 1},
		},
		Log:    status.Log{Backend: "memory", Status: "ok", Bytes: 5 << 20, Memory: 6 << 20, QuotaTotal: 4 << 30},
		Tap:    status.Tap{Packets: 12345, Bytes: 6 << 20},
		Gate:   status.Gate{HeldACKs: 1, Released: 1, HeldFINs: 2, HeldRSTs: 0, Reasons: map[string]uint64{"lowered": 5, "none": 0}},
		Memory: status.Memory{Resident: 40 << 20, Heap: 8 << 20, Journal: 1 << 20},
	}
}

func TestStatusTable(t *testing.T) {
	var b strings.Builder
	if err := writeStatus(&b, []*status.Document{document()}, 4); err != nil {
		t.Fatal(err)
	}
	golden(t, "status.txt", b.String())

	b.Reset()
	if err := writeStatus(&b, []*status.Document{{Version: status.Version}}, 2); err != nil {
		t.Fatal(err)
	}
	golden(t, "status-new.txt", b.String())
}

// execute runs the command line as main does.
func execute(args ...string) (out string, code int) {
	var b strings.Builder
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(&b)
	root.SetErr(&b)
	err := root.Execute()
	if err != nil {
		b.WriteString(err.Error())
	}
	return b.String(), exitCode(err)
}

func TestStatusCommand(t *testing.T) {
	base := t.TempDir()
	if out, code := execute("status", "--runtime-dir", base); code != 0 || out != "no engine runs\n" {
		t.Error(code, out)
	}
	if out, code := execute("status", "--json", "--runtime-dir", base); code != 0 || out != "[]\n" {
		t.Error(code, out)
	}
	dir, err := runtimedir.Create(base)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	l, err := dir.Listen(runtimedir.StatusSocket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go status.Serve(l, document)
	if err := os.Mkdir(filepath.Join(base, "deadbeef"), 0o711); err != nil { // stale: not shown
		t.Fatal(err)
	}
	for _, tt := range []struct {
		args string
		code int
		says string
	}{
		{"status", 0, "192.0.2.7:40001"},
		{"status counter", 0, "(engine 00c0ffee,"},
		{"status 00c0ffee --json", 0, `"held_acks": 1`},
		{"status web", 0, "192.0.2.7:40003"},
		{"status other", exitEngine, `no engine or service "other" runs`},
		{"status a b", exitUsage, "accepts at most 1"},
	} {
		out, code := execute(append(strings.Fields(tt.args), "--runtime-dir", base)...)
		if code != tt.code || !strings.Contains(out, tt.says) {
			t.Errorf("%s: exit %d\n%s", tt.args, code, out)
		}
	}
	if out, _ := execute("status", "web", "--runtime-dir", base); strings.Contains(out, "7000") {
		t.Errorf("another service is shown, too:\n%s", out)
	}
	l.Close()
	if out, code := execute("status", "--runtime-dir", base); code == 0 || !strings.Contains(out, "does not answer") {
		t.Errorf("a silent engine: exit %d\n%s", code, out)
	}
}
