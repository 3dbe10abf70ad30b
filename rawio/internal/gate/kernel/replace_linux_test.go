package kernel

import (
	"errors"
	"fmt"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/rawio/internal/gate"
)

// TestReplaceUnderLoad: an engine is killed, and the next ones put gates of their
// own in front of those that are there, hold all packets, and clean up. At no time
// does a RST of the dead server leave, which every gate would hold.
func TestReplaceUnderLoad(t *testing.T) {
	l := newLab(t)
	first := startEngine(t, l.a, "")
	flow := testFlow(false)
	state := slotState{Mode: gate.ModeLive, Stable: 100, High: 100}
	first.do(t, order{Slot: 1, Store: &state, Bind: &flow})
	out, in := packetSocket(t), 0
	l.atClient(t, func() { in = packetSocket(t) })

	stop, done := make(chan struct{}), make(chan int)
	go func() {
		f := frame(tcp{flags: flagRST, seq: 1}.bytes(), false)
		sent := 0
		for {
			select {
			case <-stop:
				done <- sent
				return
			default:
			}
			err := unix.Sendto(out, f, 0, &unix.SockaddrLinklayer{Ifindex: l.a})
			switch {
			case err == nil:
				sent++
			case !errors.Is(err, unix.ENOBUFS):
				t.Error(err)
			}
		}
	}()
	first.kill()
	var g *Gate
	for n := range 5 {
		id, held := fmt.Sprintf("0000000%d", n), uint64(0)
		next, err := Load(Config{MaxConns: 4, ID: id})
		must(t, err)
		must(t, next.SetService(servicePort, gate.ServiceHold, false))
		must(t, next.Attach(l.a))
		removed, err := cleanStale(func(other string) bool { return other == id })
		must(t, err)
		if len(removed) != 1 {
			t.Errorf("removed %v, want the gate before", removed)
		}
		for held == 0 { // by this one alone
			stats, err := next.Stats()
			must(t, err)
			held = stats.OutageOut
		}
		state.store(next.Slot(1))
		must(t, next.Bind(flow, 1))
		must(t, next.SetService(servicePort, gate.ServiceListen, false))
		if g = next; n < 4 {
			g.die(t)
		}
	}
	close(stop)
	sent := <-done
	must(t, g.Close())
	buf := make([]byte, 2000)
	for {
		n, _, err := unix.Recvfrom(in, buf, unix.MSG_DONTWAIT)
		if err != nil {
			break
		}
		if _, ok := parseIP(buf[14:n]); ok {
			t.Fatalf("a packet has passed: %x", buf[:n])
		}
	}
	t.Logf("%d packets", sent)
}
