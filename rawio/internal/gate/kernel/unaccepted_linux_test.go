package kernel

import (
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/rawio/internal/gate"
)

// TestUnaccepted kills a server while handshakes are completed: a listener that closes
// when the kernel is about to queue a connection aborts it in the middle of what the
// client has sent, in whose name ever that is handled. No such RST may leave.
func TestUnaccepted(t *testing.T) {
	const conns, rounds = 500, 12
	newLab(t)
	tun, ifindex := newTun(t)
	g := loadGate(t, conns)
	must(t, g.WatchReleases())
	must(t, g.Attach(ifindex))
	flow := testFlow(false)
	on := func(cpu int) {
		var set unix.CPUSet
		set.Set(cpu)
		must(t, unix.SchedSetaffinity(0, &set))
	}
	for range rounds {
		on(1)
		s := startServer(t, flow.Server)
		on(0)
		var third [][]byte
		for i := range conns {
			client := netip.AddrPortFrom(flow.Client.Addr(), uint16(10000+i))
			syn := segment.Segment{Src: client, Dst: flow.Server, Seq: 99, Flags: segment.SYN, Window: 1000}
			packet, err := syn.Append(nil)
			must(t, err)
			_, err = unix.Write(tun, packet)
			must(t, err)
			synack := readTCP(t, tun)
			for be.Uint16(synack.tcp()[2:]) != client.Port() { // an earlier one, repeated
				synack = readTCP(t, tun)
			}
			iss := be.Uint32(synack.tcp()[4:])
			slotState{Mode: gate.ModeLive, Flags: gate.FlagUnmodified, Gen: 7, Stable: 1 << 30, High: 1 << 30, SndNxt: iss + 1}.store(g.Slot(uint32(i)))
			must(t, g.Bind(segment.Flow{Client: client, Server: flow.Server}, uint32(i)))
			ack := segment.Segment{Src: client, Dst: flow.Server, Seq: 100, Ack: iss + 1, Flags: segment.ACK, Window: 1000}
			packet, err = ack.Append(nil)
			must(t, err)
			third = append(third, packet)
		}
		must(t, g.SetService(servicePort, gate.ServiceListen, true))
		before, err := g.Stats()
		must(t, err)

		for i, packet := range third {
			if i == conns/4 {
				must(t, s.cmd.Process.Signal(unix.SIGKILL))
			}
			_, err = unix.Write(tun, packet)
			must(t, err)
		}
		_ = s.cmd.Wait() // it was killed

		ended := time.Now().Add(10 * time.Second)
		for {
			after, err := g.Stats()
			must(t, err)
			if minus(after, before).RSTHeld == conns {

				break
			}
			if time.Now().After(ended) {
				t.Fatalf("%d of %d RSTs are held: %+v", minus(after, before).RSTHeld, conns, minus(after, before))
			}
		}
		must(t, g.DeleteService(servicePort))
		for i := range conns {
			must(t, g.Unbind(segment.Flow{Client: netip.AddrPortFrom(flow.Client.Addr(), uint16(10000+i)), Server: flow.Server}))
			g.Slot(uint32(i)).Reset()
		}
	}
}
