package e2e

import (
	"encoding/json"
	"strings"
	"testing"
)

// finding is one of ftnet doctor's, as --json has it.
type finding struct {
	Name, Level, Detail string
}

// doctorHandshakes returns what ftnet doctor finds of handshakes.
func (r *rig) doctorHandshakes(flags ...string) (list []finding) {
	r.t.Helper()
	args := append([]string{"doctor", "--json", "--runtime-dir", r.runtime, "--bpffs", r.bpffs}, flags...)
	out, err := r.lab.Server.Command(binary(r.t, "ftnet"), args...).Output()
	var found struct{ Checks []finding }
	if jsonErr := json.Unmarshal(out, &found); jsonErr != nil {
		r.t.Fatalf("%v, %v: %s", err, jsonErr, out)
	}
	for _, c := range found.Checks {
		if c.Name == "handshake" {
			list = append(list, c)
		}
	}
	return list
}

// TestDoctorTriesHandshakes: before there is an engine, doctor finds whether connections
// could be recovered; while there is one, it says what that has found. Nothing of it leaves.
func TestDoctorTriesHandshakes(t *testing.T) {
	for _, rules := range []struct {
		name string
		text func(*rig) string
		want string
	}{
		{"usual", func(*rig) string { return usual("iifname lo accept") }, "ok"},
		{"unanswered", (*rig).onlyClient, "warn"},
	} {
		t.Run(rules.name, func(t *testing.T) {
			t.Parallel()
			r := prepare(t, options{})
			seen := r.capture()
			r.meetNeighbours()
			ruleset(t, r.lab.Server, rules.text(r))
			check := func(list []finding) {
				t.Helper()
				said := ""
				for _, c := range list {
					said += c.Level + " " + c.Detail + "\n"
				}
				for _, network := range []string{"tcp4", "tcp6"} {
					if !strings.Contains(said, rules.want+" port 7002 by s0, "+network+": ") {
						t.Errorf("not said of %s that it is %s:\n%s", network, rules.want, said)
					}
				}
			}
			if list := r.doctorHandshakes("--listen", ":7002"); len(list) != 1 || !strings.Contains(list[0].Detail, "nothing listens") {
				t.Errorf("without a server: %+v", list)
			}
			plain, err := r.lab.Server.Listen("tcp", ":7002")
			if err != nil {
				t.Fatal(err)
			}
			check(r.doctorHandshakes("--listen", ":7002"))
			if out, err := r.lab.Server.Command("tc", "filter", "show", "dev", "s0", "ingress").CombinedOutput(); err != nil || strings.Contains(string(out), "ftnet") {
				t.Errorf("the gate is left there: %s, %v", out, err)
			}
			r.nothingHalfOpen()
			plain.Close()
			probes(t)[0].spawn(r)
			for _, network := range []string{"tcp4", "tcp6"} {
				r.handshake("s0", network, rules.want == "ok")
			}
			check(r.doctorHandshakes())
			seen.onlyClients(r, 0)
		})
	}
}
