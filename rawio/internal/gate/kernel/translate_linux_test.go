package kernel

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/rawio/internal/gate"
)

// TestTranslatedConnection runs a real connection over a veth pair, which hands
// out partial checksums and super-packets, with every number translated. The
// client's kernel accepts nothing that is not consistent.
func TestTranslatedConnection(t *testing.T) {
	for _, addr := range []string{"10.77.0.1", "fd77::1"} {
		t.Run(addr, func(t *testing.T) {
			l := newLab(t)
			translatedConnection(t, l, netip.MustParseAddr(addr), l.a)
		})
	}
}

// translatedConnection has the gate on some interfaces, by their indexes.
func translatedConnection(t *testing.T, l *lab, addr netip.Addr, interfaces ...int) {
	g := loadConfig(t, Config{MaxConns: 4, ID: "00000001"})
	must(t, g.SetService(servicePort, gate.ServiceListen, false))
	for _, i := range interfaces {
		must(t, g.Attach(i))
	}
	listener, err := net.Listen("tcp", netip.AddrPortFrom(addr, servicePort).String())
	must(t, err)
	defer listener.Close()

	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	dialed := make(chan net.Conn, 1)
	fd := l.clientSocket(t, addr)
	go func() { dialed <- connect(t, fd, addr) }()

	// The SYN-ACK is held; its retransmission passes, translated.
	synack, err := g.readEvent(ctx)
	must(t, err)
	if synack.Kind != gate.EventSYNACK || synack.Slot != gate.NoSlot {
		t.Fatalf("event %v of slot %d", synack.Kind, synack.Slot)
	}
	p, _ := parseIP(synack.Packet)
	irs, iss := be.Uint32(p.tcp()[8:])-1, be.Uint32(p.tcp()[4:])
	scale := windowScale(t, p.options())
	state := slotState{
		Mode: gate.ModeOpen, Flags: gate.FlagXlate | gate.FlagTS | gate.FlagSACK, Stable: irs + 1 + 1<<30, High: irs + 1 + 1<<30,
		IRS: irs, Delta: delta, TSDelta: tsDelta, KScale: scale, CScale: scale, Ack: irs + 1, SndNxt: iss + delta, Base: iss + delta + 1,
	}
	state.store(g.Slot(2))
	must(t, g.Bind(p.flow, 2))

	server, err := listener.Accept()
	must(t, err)
	defer server.Close()
	client := <-dialed
	defer client.Close()
	g.Slot(2).SetMode(gate.ModeLive)
	if got := g.Slot(2).SndNxt(); got != iss+delta+1 {
		t.Errorf("snd_nxt after the SYN-ACK: %#x, want %#x", got, iss+delta+1)
	}
	exchange(t, server, client)
	exchange(t, client, server)
	if got, want := g.Slot(2).SndNxt(), iss+delta+1+exchanged; got != want {
		t.Errorf("snd_nxt: %#x, want %#x", got, want)
	}
	if got, want := g.Slot(2).Ack(), irs+1+exchanged; got != want {
		t.Errorf("ack: %#x, want %#x", got, want)
	}
	stats, err := g.Stats()
	must(t, err)
	if diff := cmp.Diff(gate.Stats{SYNACKHeld: 1}, stats); diff != "" {
		t.Errorf("counters (-want +got):\n%s", diff)
	}

	// A FIN that nobody announced stays; what was sent arrives nevertheless.
	must(t, server.Close())
	fin, err := g.readEvent(ctx)
	must(t, err)
	if fin.Kind != gate.EventFINHeld || fin.Slot != 2 {
		t.Errorf("event %v of slot %d", fin.Kind, fin.Slot)
	}
	must(t, client.SetReadDeadline(time.Now().Add(50*time.Millisecond)))
	if _, err := client.Read(make([]byte, 1)); !os.IsTimeout(err) {
		t.Errorf("the client reads %v", err)
	}
}

const exchanged = 4 << 20

func exchangedBytes() []byte {
	data := make([]byte, exchanged)
	rnd := rand.NewChaCha8([32]byte{})
	rnd.Read(data)
	return data
}

// exchange sends exchanged bytes from one end to the other.
func exchange(t *testing.T, from, to net.Conn) {
	t.Helper()
	data := exchangedBytes()
	sent := make(chan error, 1)
	go func() {
		_, err := from.Write(data)
		sent <- err
	}()
	must(t, to.SetReadDeadline(time.Now().Add(20*time.Second)))
	got := make([]byte, exchanged)
	_, err := io.ReadFull(to, got)
	must(t, err)
	must(t, <-sent)
	if !bytes.Equal(data, got) {
		t.Error("bytes differ")
	}
}

func windowScale(t *testing.T, opt []byte) uint8 {
	t.Helper()
	o := segment.ParseOptions(opt)
	if !o.HasWScale {
		t.Fatal("no window scale")
	}
	return o.WScale
}
