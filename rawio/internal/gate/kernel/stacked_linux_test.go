package kernel

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/rawio/internal/gate"
	"github.com/ftnet/ftnet/rawio/internal/gate/gatetest"
)

// TestTranslatedOnce: a packet that passes two interfaces with the gate is translated
// once, whichever of them is the lower.
func TestTranslatedOnce(t *testing.T) {
	kinds := map[string]func(t *testing.T, below netlink.Link) netlink.Link{
		"bridge": func(t *testing.T, below netlink.Link) netlink.Link {
			above := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "above"}}
			must(t, netlink.LinkAdd(above))
			must(t, netlink.LinkSetMaster(below, above))
			return above
		},
		"macvlan": func(t *testing.T, below netlink.Link) netlink.Link {
			above := &netlink.Macvlan{
				LinkAttrs: netlink.LinkAttrs{Name: "above", ParentIndex: below.Attrs().Index}, Mode: netlink.MACVLAN_MODE_BRIDGE,
			}
			must(t, netlink.LinkAdd(above))
			return above
		},
	}
	for kind, stack := range kinds {
		for _, addr := range []string{"10.77.0.1", "fd77::1"} {
			t.Run(kind+"/"+addr, func(t *testing.T) {
				l := newLab(t)
				below, err := netlink.LinkByIndex(l.a)
				must(t, err)
				for _, a := range []string{"10.77.0.1/24", "fd77::1/64"} {
					parsed, err := netlink.ParseAddr(a)
					must(t, err)
					must(t, netlink.AddrDel(below, parsed))
				}
				stack(t, below)
				above := up(t, "above", "10.77.0.1/24", "fd77::1/64")
				translatedConnection(t, l, netip.MustParseAddr(addr), l.a, above)
			})
		}
	}
}

// judgeFrame runs a program on one Ethernet frame and returns the verdict and the
// priority that the packet has then.
func judgeFrame(t *testing.T, p *ebpf.Program, frame []byte, context skbContext) (gatetest.Verdict, uint32) {
	t.Helper()
	var out [48]uint32 // struct __sk_buff
	opts := ebpf.RunOptions{Data: frame, DataOut: make([]byte, len(frame)+64), Context: context, ContextOut: &out}
	ret, err := p.Run(&opts)
	must(t, err)
	const priority = 8
	return gatetest.Verdict(int32(ret)), out[priority]
}

// TestPriorityRestored: the mark of a meant end does not reach the queueing discipline.
func TestPriorityRestored(t *testing.T) {
	g := loadGate(t, 16)
	must(t, g.SetService(servicePort, gate.ServiceListen, false))
	must(t, g.Bind(testFlow(false), 5))
	data := frame(tcp{flags: flagACK, payload: 10}.bytes(), false)
	fin := frame(tcp{flags: flagACK | flagFIN, payload: 10}.bytes(), false)
	for name, mode := range map[string]gate.Mode{"live": gate.ModeLive, "open": gate.ModeOpen, "free": gate.ModeFree} {
		t.Run(name, func(t *testing.T) {
			slotState{Mode: mode}.store(g.Slot(5))
			for _, step := range []struct {
				pkt     []byte
				in, out uint32
			}{
				{data, gate.PrioClose, 0}, {data, 0, 0}, {data, 4, 4}, {data, gate.PrioClose, 4}, {fin, gate.PrioClose, 4}, {data, 0, 0}, {fin, gate.PrioShut, 0},
			} {
				verdict, priority := judgeFrame(t, g.progs.loaded[ethernetLink].out, step.pkt, skbContext{Priority: step.in, IfIndex: 1})
				if verdict != gatetest.Pass || priority != step.out {
					t.Errorf("priority %d became %d (%v), want %d", step.in, priority, verdict, step.out)
				}
			}
		})
	}
	// Nor does that of a connection which the gate does not know; an unmodified
	// server's priorities mean nothing, and stay.
	must(t, g.Unbind(testFlow(false)))
	if _, priority := judgeFrame(t, g.progs.loaded[ethernetLink].out, data, skbContext{Priority: gate.PrioClose, IfIndex: 1}); priority != 0 {
		t.Errorf("without a slot, the priority is %d", priority)
	}
	must(t, g.SetService(servicePort, gate.ServiceListen, true))
	if _, priority := judgeFrame(t, g.progs.loaded[ethernetLink].out, data, skbContext{Priority: gate.PrioClose, IfIndex: 1}); priority != gate.PrioClose {
		t.Errorf("an unmodified server's priority became %d", priority)
	}
}

// TestOthersTraffic: what the host only forwards, what a VLAN's own device will take, and
// frames for another address pass unseen, whatever state the port is in.
func TestOthersTraffic(t *testing.T) {
	l := newLab(t)
	a, err := netlink.LinkByIndex(l.a)
	must(t, err)
	for _, family := range []string{"ipv4", "ipv6"} {
		must(t, os.WriteFile("/proc/sys/net/"+family+"/conf/all/forwarding", []byte("1"), 0))
	}
	up(t, "a", "10.0.0.7/24", "192.0.2.1/24", "fd00::7/64", "2001:db8::1/64") // routes for both ends of the flows
	g := loadGate(t, 16)
	context := skbContext{IfIndex: uint32(l.a)}
	to := func(mac net.HardwareAddr, pkt []byte) []byte {
		f := frame(pkt, false)
		copy(f, mac)
		return f
	}
	judge := func(t *testing.T, what string, p *ebpf.Program, f []byte, c skbContext, want gatetest.Verdict) {
		t.Helper()
		if got, _ := judgeFrame(t, p, f, c); got != want {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	for _, v6 := range []bool{false, true} {
		md5 := append([]byte{19, 18}, make([]byte, 18)...)
		md5[18], md5[19] = 1, 1
		syn := tcp{v6: v6, toServer: true, flags: flagSYN, window: 100}.bytes()
		signed := tcp{v6: v6, toServer: true, flags: flagSYN, window: 100, raw: md5}.bytes()
		ack := tcp{v6: v6, toServer: true, flags: flagACK, window: 100}.bytes()
		refusal := tcp{v6: v6, flags: flagACK | flagRST}.bytes()
		server := testFlow(v6).Server.Addr()
		all := func(t *testing.T, state gate.ServiceState, own bool) {
			t.Helper()
			must(t, g.SetService(servicePort, state, false))
			held := func(when bool) gatetest.Verdict {
				if own && when {
					return gatetest.Held
				}
				return gatetest.Pass
			}
			mac := a.Attrs().HardwareAddr
			in, out := g.progs.loaded[ethernetLink].in, g.progs.loaded[ethernetLink].out
			judge(t, "a SYN", in, to(mac, syn), context, held(state != gate.ServiceListen))
			judge(t, "a signed SYN", in, to(mac, signed), context, held(true))
			judge(t, "an ACK", in, to(mac, ack), context, held(state == gate.ServiceHold))
			judge(t, "a SYN for another MAC address", in, to(net.HardwareAddr{2, 0, 0, 0, 0, 1}, syn), context, gatetest.Pass)
			tagged := frame(syn, true)
			copy(tagged, mac)
			judge(t, "a SYN with a priority tag", in, tagged, context, held(state != gate.ServiceListen))
			tagged[15] = 5
			judge(t, "a SYN of VLAN 5", in, tagged, context, gatetest.Pass)
			from := context
			if !own {
				from.IngressIfIndex = uint32(l.a)
			}
			judge(t, "a refusal", out, to(mac, refusal), from, held(true))
		}
		for _, state := range []gate.ServiceState{gate.ServiceListen, gate.ServiceOutage, gate.ServiceHold} {
			t.Run(fmt.Sprintf("%v/%d/forwarded", server, state), func(t *testing.T) { l.enter(t); all(t, state, false) })
		}
		up(t, "lo", server.String()+"/"+strconv.Itoa(server.BitLen()))
		awaitLocal(t, server)
		for _, state := range []gate.ServiceState{gate.ServiceListen, gate.ServiceOutage, gate.ServiceHold} {
			t.Run(fmt.Sprintf("%v/%d/own", server, state), func(t *testing.T) { l.enter(t); all(t, state, true) })
		}
	}
}

// awaitLocal waits until the kernel takes packets for an address: IPv6 addresses get
// their route a moment after they are added.
func awaitLocal(t *testing.T, addr netip.Addr) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		routes, err := netlink.RouteGet(addr.AsSlice())
		if err == nil && len(routes) > 0 && routes[0].Type == unix.RTN_LOCAL {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%v has no local route: %v, %v", addr, routes, err)
		}
		time.Sleep(time.Millisecond)
	}
}

// TestTransparent: a service whose listener takes connections to other hosts' addresses has
// its port there, too; what SetService changes does not change that, DeleteService ends it.
func TestTransparent(t *testing.T) {
	l := newLab(t)
	for _, family := range []string{"ipv4", "ipv6"} {
		must(t, os.WriteFile("/proc/sys/net/"+family+"/conf/all/forwarding", []byte("1"), 0))
	}
	up(t, "a", "10.0.0.7/24", "192.0.2.1/24", "fd00::7/64", "2001:db8::1/64") // routes for both ends of the flows
	g := loadGate(t, 16)
	a, err := netlink.LinkByIndex(l.a)
	must(t, err)
	for _, v6 := range []bool{false, true} {
		f := frame(tcp{v6: v6, toServer: true, flags: flagSYN, window: 100}.bytes(), false)
		copy(f, a.Attrs().HardwareAddr)
		judge := func(what string, want gatetest.Verdict) {
			t.Helper()
			if got, _ := judgeFrame(t, g.progs.loaded[ethernetLink].in, f, skbContext{IfIndex: uint32(l.a)}); got != want {
				t.Errorf("%s: %v, want %v", what, got, want)
			}
		}
		must(t, g.SetService(servicePort, gate.ServiceListen, false))
		must(t, g.SetTransparent(servicePort, true))
		judge("a SYN while the server listens", gatetest.Pass)
		must(t, g.SetService(servicePort, gate.ServiceOutage, true))
		if is, err := g.Transparent(servicePort); !is || err != nil {
			t.Errorf("transparent: %v, %v", is, err)
		}
		judge("a SYN in an outage", gatetest.Held)
		must(t, g.SetTransparent(servicePort, false))
		judge("a SYN for another host", gatetest.Pass)
		must(t, g.SetTransparent(servicePort, true))
		must(t, g.DeleteService(servicePort))
		must(t, g.SetTransparent(servicePort, true)) // of a port that is not protected, nothing
		must(t, g.SetService(servicePort, gate.ServiceOutage, false))
		judge("a SYN for another host once more", gatetest.Pass)
	}
}
