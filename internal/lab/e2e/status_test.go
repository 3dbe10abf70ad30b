package e2e

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ftnet/ftnet/internal/lab/netlab"
	"github.com/ftnet/ftnet/internal/policy"
	"github.com/ftnet/ftnet/internal/status"
)

// command runs `ftnet status`.
func (r *rig) statusCommand(args ...string) []byte {
	r.t.Helper()
	args = append([]string{"status", "--runtime-dir", r.runtime}, args...)
	out, err := r.lab.Server.Command(binary(r.t, "ftnet"), args...).Output()
	if err != nil {
		r.t.Fatalf("ftnet %v: %v", args, err)
	}
	return out
}

// TestStatusInOutage: what `ftnet status` says while nobody listens.
func TestStatusInOutage(t *testing.T) {
	gate := filepath.Join(t.TempDir(), "gate")
	r := probe(t, options{flags: []string{"--name", "outage", "--quota", "2MiB"}}, "-gate", gate)
	c := r.dial()
	c.echo("12345")
	closeGate(t, gate)
	r.kill()
	r.waitStatus("the outage is declared", func(d *status.Document) bool { return conns(d, "outage") == 1 })
	c.send("echo 678")
	r.waitStatus("the bytes are logged", func(d *status.Document) bool { return d.Connections[0].BytesLogged == 20 })

	var docs []status.Document
	if err := json.Unmarshal(r.statusCommand("--json", "outage"), &docs); err != nil || len(docs) != 1 {
		t.Fatal(docs, err)
	}
	d := docs[0]
	if d.Version != status.Version || d.Engine.Name != "outage" || d.Engine.PID != r.cmd.Process.Pid || len(d.Engine.Interfaces) != 2 {
		t.Errorf("%+v", d.Engine)
	}
	if p := d.Process; p.State != status.ProcessStarting || p.Restarts != 1 || !strings.Contains(p.LastExit, "killed") {
		t.Errorf("%+v", p)
	}
	if len(d.Services) != 1 || len(d.Connections) != 1 {
		t.Fatalf("%+v", d)
	}
	if s := d.Services[0]; s.State != status.ServiceOutage || s.Address != "[::]:7002" || s.Compare != policy.CompareStrict ||
		s.Connections != 1 || s.Accepted != 1 || s.Outages != 1 || s.Recovered != 0 {
		t.Errorf("%+v", s)
	}
	if c := d.Connections[0]; c.State != "outage" || c.Protection != status.Protected || c.BytesIn != 20 || c.BytesOut != 6 ||
		c.StableLag != 0 || c.Recoveries != 0 || c.Server != probeAddress || !strings.HasPrefix(c.Client, netlab.Client4.String()) {
		t.Errorf("%+v", c)
	}
	if l := d.Log; l.Backend != "memory" || l.Status != "ok" || l.Bytes != 20 || l.Quota != 2<<20 || l.OnFull != "close-window" {
		t.Errorf("%+v", l)
	}
	if d.Tap.Packets == 0 || d.Tap.Losses != 0 || d.Memory.Resident == 0 {
		t.Errorf("%+v, %+v", d.Tap, d.Memory)
	}
	for _, want := range []string{"outage", probeAddress} {
		if out := r.statusCommand(); !strings.Contains(string(out), want) {
			t.Errorf("the table does not say %q:\n%s", want, out)
		}
	}

	openGate(t, gate)
	c.expect("678")
	r.recovered()
	after := r.waitStatus("the connection is live", func(d *status.Document) bool { return conns(d, "established") == 1 })
	if s := after.Services[0]; s.State != status.ServiceListening || s.Recovered != 1 || s.LastOutage <= 0 || s.LongestOutage < s.LastOutage {
		t.Errorf("%+v", s)
	}
	if c := after.Connections[0]; c.Recoveries != 1 {
		t.Errorf("%+v", c)
	}
}
