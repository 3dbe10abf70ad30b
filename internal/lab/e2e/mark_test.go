package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/ftnet/ftnet/internal/status"
)

// TestMark: where rules route by marks, what the engine sends has the bits that it was
// told and no others, and connections survive.
func TestMark(t *testing.T) {
	for _, m := range probes(t) {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			r := prepare(t, options{})
			shell(t, r.lab.Server, both("rule add fwmark 0x1/0x1 lookup 100", "route add local default dev lo table 100"))
			ruleset(t, r.lab.Server, `table inet m {
				counter marked { }
				counter wrong { }
				chain p {
					type filter hook prerouting priority raw
					iifname "s0" tcp dport 7002 meta mark 0x10 counter name marked
					iifname "s0" tcp dport 7002 meta mark != { 0, 0x10 } counter name wrong
				}
			}`)
			m.with("--mark", "0x10/0xf0").spawn(r)
			var clients []*client
			for i, f := range families[:2] {
				c := r.dialTo(f.dial(r), f.address(7002))
				c.echo(fmt.Sprint("hello ", i))
				clients = append(clients, c)
			}
			r.survives(clients, false)
			for name, none := range map[string]bool{"marked": false, "wrong": true} {
				out, err := r.lab.Server.Command("nft", "list", "counter", "inet", "m", name).CombinedOutput()
				if err != nil || strings.Contains(string(out), "packets 0 ") != none {
					t.Errorf("%s: %v\n%s", name, err, out)
				}
			}
			r.check(func(s *status.Service) bool { return len(s.Unprotected) == 0 })
		})
	}
}

// TestMarkRefused: a mark that is none ends the command with what is wrong with it.
func TestMarkRefused(t *testing.T) {
	r := prepare(t, options{})
	for mark, want := range map[string]string{"0x11/0xf0": "bits outside of its mask", "green": "is no mark"} {
		out, err := r.lab.Server.Command(binary(t, "ftnet"), "run", "--mark", mark, "--", "true").CombinedOutput()
		if err == nil || !strings.Contains(string(out), want) || !strings.Contains(string(out), "--mark") {
			t.Errorf("--mark %s: %v\n%s", mark, err, out)
		}
	}
}
