package e2e

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	ebpflink "github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"

	"github.com/ftnet/ftnet/internal/reason"
	"github.com/ftnet/ftnet/internal/status"
)

// tc runs commands of tc in the server's namespace.
func (r *rig) tc(lines ...string) {
	r.t.Helper()
	for _, line := range lines {
		if out, err := r.lab.Server.Command("tc", strings.Fields(line)...).CombinedOutput(); err != nil {
			r.t.Fatalf("tc %s: %v\n%s", line, err, out)
		}
	}
}

// tcxPass attaches a program of somebody else to the server's interface, before all
// others, which has the last word on everything.
func (r *rig) tcxPass(side ebpf.AttachType) {
	r.t.Helper()
	err := r.lab.Server.Run(func() error {
		on, err := netlink.LinkByName("s0")
		if err != nil {
			return err
		}
		prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{
			Name: "stranger", Type: ebpf.SchedCLS, License: "GPL",
			Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()},
		})
		if err != nil {
			return err
		}
		defer prog.Close()
		l, err := ebpflink.AttachTCX(ebpflink.TCXOptions{Interface: on.Attrs().Index, Program: prog, Attach: side, Anchor: ebpflink.Head()})
		if err == nil {
			r.t.Cleanup(func() { l.Close() })
		}
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
}

const (
	ungated = "interface is not protected: interface=s0 "
	gated   = "interface is protected again: interface=s0"
)

// passAll puts a filter before the gate's that has the last word on everything.
func (r *rig) passAll(side string) {
	r.t.Helper()
	args := append(strings.Fields("filter add dev s0 "+side+" prio 1 protocol all bpf da bytecode"), "1,6 0 0 0,")
	if out, err := r.lab.Server.Command("tc", args...).CombinedOutput(); err != nil {
		r.t.Fatalf("tc: %v\n%s", err, out)
	}
}

// harm is something that is done to the gate.
type harm struct {
	name string
	do   func(r *rig)
}

// harms are some at a time: who takes the gate away more often is let have it for a while.
var harms = map[string][]harm{
	"taken away": {
		{"qdisc deleted", func(r *rig) { r.tc("qdisc del dev s0 clsact") }},
		{"ingress filters deleted", func(r *rig) { r.tc("filter del dev s0 ingress") }},
		{"egress filters deleted", func(r *rig) { r.tc("filter del dev s0 egress") }},
	},
	"behind others": {
		{"filter before it", func(r *rig) {
			r.passAll("egress")
			r.t.Cleanup(func() { r.tc("filter del dev s0 egress prio 1") })
		}},
		{"tcx program at egress", func(r *rig) { r.tcxPass(ebpf.AttachTCXEgress) }},
		{"tcx program at ingress", func(r *rig) { r.tcxPass(ebpf.AttachTCXIngress) }},
	},
}

// TestGateTakenAway: whoever takes the gate off the interface, or puts something before
// it, it is put back, that is said once, and connections are protected as before.
func TestGateTakenAway(t *testing.T) {
	for _, m := range probes(t) {
		for name, list := range harms {
			t.Run(m.name+"/"+name, func(t *testing.T) {
				t.Parallel()
				r := prepare(t, options{})
				m.spawn(r)
				clients := []*client{r.dial()}
				clients[0].echo("hello")
				for i, h := range list {
					clients = append(clients, r.dial())
					clients[i+1].echo("before: " + h.name)
					h.do(r)
					r.waitCount(gated, i+1)
					for _, c := range clients {
						c.echo("after: " + h.name)
					}
					r.protects(len(clients))
					r.crash()
					for _, c := range clients {
						c.echo("recovered: " + h.name)
					}
				}
				if n := r.countOutput(ungated, len(list)); n != len(list) {
					t.Errorf("said %d times that the interface is not protected", n)
				}
			})
		}
	}
}

// leave ends the client, for whom the server would wait, and the server.
func (r *rig) leave(c *client) {
	c.Close()
	r.stop()
}

// TestFilterBeforeGate: filters of lower number with a final verdict hide nothing from the
// gate, whether they are there before it or not.
func TestFilterBeforeGate(t *testing.T) {
	t.Parallel()
	r := prepare(t, options{})
	r.tc("qdisc add dev s0 clsact")
	r.passAll("ingress")
	m := probes(t)[1]
	m.spawn(r)
	c := r.dial()
	c.echo("hello")
	r.crash()
	c.echo("recovered")
	r.tc("filter del dev s0 ingress prio 1")
	r.passAll("egress")
	c.echo("after")
	r.protects(1)
	r.crash()
	c.echo("recovered again")
	r.leave(c)
	r.tc("qdisc del dev s0 clsact")
}

// TestIngressQdisc: an interface with a qdisc that excludes clsact does not keep ftnet
// from starting, and is protected, too.
func TestIngressQdisc(t *testing.T) {
	for _, m := range probes(t) {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			r := prepare(t, options{})
			r.tc("qdisc add dev s0 ingress")
			m.spawn(r)
			c := r.dial()
			c.echo("hello")
			d := r.protects(1)
			if got := fmt.Sprint(d.Engine.Interfaces); got != "[lo s0]" {
				t.Errorf("protected: %s", got)
			}
			for range 2 {
				r.crash()
				c.echo("recovered")
			}
			r.leave(c)
			r.tc("qdisc del dev s0 ingress")
		})
	}
}

// TestUngatedSaid: while packets pass by the gate, status says so, of the connections
// concerned and with the reason, and they are counted; later they are protected again.
func TestUngatedSaid(t *testing.T) {
	t.Parallel()
	r := probe(t, options{})
	remote, local := r.dial(), r.dialTo(fromServer(r), "127.0.0.1:7002")
	remote.echo("hello")
	local.echo("hello")
	r.protects(2)
	stop := r.takeAway()
	r.waitStatus("the remote connection is not protected", func(d *status.Document) bool {
		ok := 0
		for _, c := range d.Connections {
			if strings.HasPrefix(c.Client, "127.") {
				if c.Protection == status.Protected {
					ok++
				}
			} else if c.Protection == status.Unprotected && c.Reason == string(reason.Ungated) {
				ok++
			}
		}
		return ok == 2 && d.Services[0].Unprotected[string(reason.Ungated)] == 1
	})
	r.waitStatus("the interface is not protected", func(d *status.Document) bool {
		return fmt.Sprint(d.Engine.Interfaces) == "[lo]"
	})
	r.waitOutput("connection is not protected: connection=")
	// So it is of who comes meanwhile: neither interface nor route is to blame.
	late := r.dial()
	late.echo("while it lasts")
	d := r.waitStatus("the late connection is not protected", func(d *status.Document) bool {
		for _, c := range d.Connections {
			if c.Client == late.LocalAddr().String() && c.Protection == status.Unprotected {
				return d.Services[0].Unprotected[string(reason.Ungated)] == 2 && strings.HasPrefix(c.Reason, string(reason.Ungated))
			}
		}
		return false
	})
	if n := d.Services[0].Unprotected; n[string(reason.OtherWay)]+n[string(reason.Unrecognized)] != 0 {
		t.Errorf("other reasons: %v", n)
	}
	late.Close()
	stop()
	remote.echo("still here")
	r.protects(2)
	r.crash()
	remote.echo("recovered")
	local.echo("recovered")
}

// takeAway has the gate be taken off the server's interface again and again, until stop is
// called: who does that is let have it for a while.
func (r *rig) takeAway() (stop func()) {
	ended, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-ended:
				return
			case <-time.After(5 * time.Millisecond):
				_, _ = r.lab.Server.Command("tc", "qdisc", "del", "dev", "s0", "clsact").CombinedOutput()
			}
		}
	}()
	stop = sync.OnceFunc(func() { close(ended); <-done })
	r.t.Cleanup(stop) // before the namespaces go, however the test ends
	return stop
}

// protects waits until the engine has that many connections, all protected.
func (r *rig) protects(n int) *status.Document {
	r.t.Helper()
	return r.waitStatus(fmt.Sprintf("%d connections are protected", n), func(d *status.Document) bool {
		for _, c := range d.Connections {
			if c.Protection != status.Protected {
				return false
			}
		}
		return len(d.Connections) == n
	})
}

// waitCount waits until the processes have written text n times.
func (r *rig) waitCount(text string, n int) {
	r.t.Helper()
	limit := time.After(20 * time.Second)
	for {
		s, more := r.out.next()
		if strings.Count(s, text) >= n {
			return
		}
		select {
		case <-more:
		case <-limit:
			r.t.Fatalf("waited in vain for the output %q, %d times", text, n)
		}
	}
}
