package e2e

import (
	"strings"
	"testing"

	"github.com/ftnet/ftnet/internal/lab/netlab/netlabtest"
)

// TestOtherNamespace: a server that listens in another network namespace than its
// engine is refused: nothing of it would be protected.
func TestOtherNamespace(t *testing.T) {
	for _, mode := range []string{"listen", "unmodified"} {
		t.Run(mode, func(t *testing.T) {
			r := prepare(t, options{nowait: true})
			other := netlabtest.New(t, nil).Server
			o := options{nowait: true}
			args := []string{"netns", "exec", other.Name(), binary(t, "probe"), "-listen", ":7002"}
			if mode == "unmodified" {
				o = unmodifiedOptions(7002)
				o.nowait = true
				args = append(args, "-mode", "plain")
			}
			r.spawn(o, program(t, "ip"), args...)
			if err := r.wait(); err == nil {
				t.Error("ftnet has ended with status 0")
			}
			out := r.out.String()
			last := out[strings.LastIndex(strings.TrimSpace(out), "\n")+1:]
			for _, want := range []string{":7002", other.Name() + " (net:[", r.lab.Server.Name() + " (net:["} {
				if !strings.Contains(last, want) {
					t.Errorf("the last line does not name %s: %s", want, last)
				}
			}
		})
	}
}

// TestNeverListens: a server that does not call ftnet.Listen, although it was to, is
// told of once.
func TestNeverListens(t *testing.T) {
	r := prepare(t, options{})
	r.start(options{nowait: true}, "probe", "-mode", "plain", "-listen", ":7002")
	r.t.Cleanup(r.end)
	const said = "without having called ftnet.Listen"
	r.waitOutput(said)
	if out := r.out.String(); !strings.Contains(out, "[::]:7002") {
		t.Errorf("the address is not named:\n%s", out)
	}
	r.dial().echo("plain") // and serves all the same
	r.stop()
	if n := strings.Count(r.out.String(), said); n != 1 {
		t.Errorf("said %d times", n)
	}
}
