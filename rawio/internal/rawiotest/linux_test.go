package rawiotest

import (
	"errors"
	"io"
	"net/netip"
	"testing"
	"time"

	"github.com/ftnet/ftnet/internal/segment"
)

// packet builds a client's segment that the server's socket finds acceptable,
// for the test to spoil.
func (l *lab) packet(s *Socket, flags segment.Flags) *Packet {
	i := s.Info()
	p := &Packet{}
	p.Seq, p.Ack, p.Flags, p.Window = i.RcvNxt, i.SndNxt, flags, 1000
	if s.timestamps {
		p.Options.HasTS, p.Options.TSVal = true, s.tsRecent
	}
	return p
}

func wantACK(t *testing.T, answers []*Packet, s *Socket) {
	t.Helper()
	if len(answers) != 1 || answers[0].Flags != segment.ACK || answers[0].Ack != s.Info().RcvNxt {
		t.Errorf("answered with %v, want one ACK of %d", answers, s.Info().RcvNxt)
	}
}

func wantReset(t *testing.T, answers []*Packet, seq uint32) {
	t.Helper()
	if len(answers) != 1 || !answers[0].Flags.Has(segment.RST) || answers[0].Seq != seq {
		t.Errorf("answered with %v, want one RST with %d", answers, seq)
	}
}

func TestUnacceptableSegmentsAreAnsweredNotTaken(t *testing.T) {
	for name, spoil := range map[string]func(p *Packet, s *Socket){
		"ack above snd_nxt":     func(p *Packet, s *Socket) { p.Ack++ },
		"ack far below snd_una": func(p *Packet, s *Socket) { p.Ack -= s.maxWnd + 1 },
		"data below the window": func(p *Packet, s *Socket) { p.Seq -= 100 },
		"data above the window": func(p *Packet, s *Socket) { p.Seq += s.window() + 1 },
		"old timestamp":         func(p *Packet, s *Socket) { p.Options.TSVal -= 1000 },
		"SYN in the window":     func(p *Packet, s *Socket) { p.Flags, p.Payload = segment.SYN, nil },
		"SYN outside": func(p *Packet, s *Socket) {
			p.Flags, p.Payload, p.Seq = segment.SYN, nil, p.Seq-0x1000000
		},
		"RST in the window": func(p *Packet, s *Socket) { p.Flags, p.Payload, p.Seq = segment.RST, nil, p.Seq+1 },
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, 1, Impairment{}, Config{}, Config{})
			_, s := l.connect()
			p := l.packet(s, segment.ACK)
			p.Payload = []byte("not to be read")
			spoil(p, s)
			wantACK(t, l.inject(p), s)
			if s.Readable() != 0 || s.State() != Established {
				t.Errorf("%d bytes readable, state %v", s.Readable(), s.State())
			}
		})
	}
}

func TestChallengeACKsAreLimited(t *testing.T) {
	l := newLab(t, 1, Impairment{}, Config{}, Config{})
	_, s := l.connect()
	for i := range 3 {
		p := l.packet(s, segment.ACK)
		p.Ack++
		if n := len(l.inject(p)); (i == 0) != (n == 1) {
			t.Errorf("answer %d: %d packets", i, n)
		}
	}
	l.settle(challengeInterval)
	p := l.packet(s, segment.ACK)
	p.Ack++
	wantACK(t, l.inject(p), s)
}

func TestResetOutsideTheWindowIsSilentlyIgnored(t *testing.T) {
	l := newLab(t, 1, Impairment{}, Config{}, Config{})
	_, s := l.connect()
	p := l.packet(s, segment.RST)
	p.Seq--
	if answers := l.inject(p); len(answers) != 0 || s.State() != Established {
		t.Errorf("%v, state %v", answers, s.State())
	}
}

func TestExactResetEndsTheConnectionAfterWhatWasQueued(t *testing.T) {
	l := newLab(t, 1, Impairment{}, Config{}, Config{})
	_, s := l.connect()
	p := l.packet(s, segment.ACK)
	p.Payload = []byte("read me")
	l.inject(p)
	if answers := l.inject(l.packet(s, segment.RST)); len(answers) != 0 {
		t.Errorf("answered with %v", answers)
	}
	buf := make([]byte, 100)
	if n, err := s.Recv(buf); n != 7 || err != nil {
		t.Errorf("first read: %d, %v", n, err)
	}
	if _, err := s.Recv(buf); !errors.Is(err, ErrReset) {
		t.Errorf("second read: %v", err)
	}
}

func TestClosedPortResets(t *testing.T) {
	l := newLab(t, 1, Impairment{}, Config{}, Config{})
	l.listener.Close()
	p := &Packet{}
	p.Seq, p.Ack, p.Flags, p.Payload = 100, 5000, segment.ACK, []byte("x")
	wantReset(t, l.inject(p), 5000)
	p = &Packet{}
	p.Seq, p.Flags = 100, segment.SYN
	answers := l.inject(p)
	wantReset(t, answers, 0)
	if answers[0].Ack != 101 {
		t.Errorf("RST acknowledges %d, want 101", answers[0].Ack)
	}
	p.Flags = segment.RST
	if answers := l.inject(p); len(answers) != 0 {
		t.Errorf("a RST was answered with %v", answers)
	}
	c, err := l.clientProcess.Connect(clientAddr, serverAddr)
	if err != nil {
		t.Fatal(err)
	}
	l.run(time.Second, func() bool { return errors.Is(c.Err(), ErrRefused) })
}

func TestDeadProcessLeavesFinWait1ThatChallengesSYN(t *testing.T) {
	l := newLab(t, 1, Impairment{}, Config{}, Config{})
	_, s := l.connect()
	l.dropToClient = func(*Packet) bool { return true } // the gate holds the FIN
	before := len(l.toClient)
	l.process.Kill()
	if got := l.toClient[before:]; len(got) != 1 || !got[0].Flags.Has(segment.FIN) || s.State() != FinWait1 || !s.Orphan() {
		t.Fatalf("sent %v, state %v", got, s.State())
	}
	syn := &Packet{}
	syn.Seq, syn.Flags = s.Info().RcvNxt-1, segment.SYN
	wantACK(t, l.inject(syn), s)

	// Only the exact RST removes it; then the SYN finds the new listener.
	if l.inject(l.packet(s, segment.RST)); l.server.Lookup(serverAddr, clientAddr) != nil {
		t.Fatal("the socket is still there")
	}
	if _, err := l.server.NewProcess().Listen(netip.AddrPortFrom(netip.Addr{}, 7000)); err != nil {
		t.Fatal(err)
	}
	if got := l.inject(syn); len(got) != 1 || got[0].Flags != segment.SYN|segment.ACK {
		t.Errorf("answered with %v", got)
	}
}

func TestDestroyRemovesOrphan(t *testing.T) {
	l := newLab(t, 1, Impairment{}, Config{}, Config{})
	_, s := l.connect()
	l.dropToClient = func(*Packet) bool { return true }
	l.process.Kill()
	before := len(l.toClient)
	if err := l.server.Destroy(serverAddr, clientAddr); err != nil {
		t.Fatal(err)
	}
	wantReset(t, l.toClient[before:], s.Info().SndNxt)
	if err := l.server.Destroy(serverAddr, clientAddr); !errors.Is(err, ErrNotFound) {
		t.Errorf("second time: %v", err)
	}
}

func TestDeathWithUnreadDataResets(t *testing.T) {
	l := newLab(t, 1, Impairment{}, Config{}, Config{})
	c, _ := l.connect()
	c.Send([]byte("never read"))
	l.settle(time.Second)
	before := len(l.toClient)
	l.process.Kill()
	if got := l.toClient[before:]; len(got) != 1 || got[0].Flags != segment.RST|segment.ACK {
		t.Errorf("sent %v, want a RST", got)
	}
	l.run(time.Second, func() bool { return errors.Is(c.Err(), ErrReset) })
}

func TestDeathResetsWhatWasNotAccepted(t *testing.T) {
	l := newLab(t, 1, Impairment{}, Config{}, Config{})
	c, err := l.clientProcess.Connect(clientAddr, serverAddr)
	if err != nil {
		t.Fatal(err)
	}
	l.settle(time.Second)
	if c.State() != Established {
		t.Fatal(c.State())
	}
	l.process.Kill()
	l.run(time.Second, func() bool { return errors.Is(c.Err(), ErrReset) })
}

func TestDeathForgetsHalfOpen(t *testing.T) {
	l := newLab(t, 1, Impairment{}, Config{}, Config{})
	l.dropToClient = func(p *Packet) bool { return p.Flags.Has(segment.SYN) } // held by a gate
	c, err := l.clientProcess.Connect(clientAddr, serverAddr)
	if err != nil {
		t.Fatal(err)
	}
	l.settle(100 * time.Millisecond)
	l.process.Kill()
	if n := count(l.toClient, segment.RST); n != 0 {
		t.Errorf("%d RSTs before the client said anything", n)
	}
	ack := &Packet{}
	ack.Seq, ack.Ack, ack.Flags = c.Info().ISS+1, l.toClient[0].Seq+1, segment.ACK
	wantReset(t, l.inject(ack), ack.Ack)
}

func TestWrittenDataPrecedesTheFINOfTheDead(t *testing.T) {
	l := newLab(t, 1, Impairment{Delay: 10 * time.Millisecond}, Config{}, Config{})
	c, s := l.connect()
	n, err := s.Send(make([]byte, 60000))
	if err != nil {
		t.Fatal(err)
	}
	l.process.Kill()
	client := &app{s: c, keep: true}
	client.start()
	l.run(time.Minute, func() bool { return client.eof })
	if len(client.in) != n {
		t.Errorf("read %d bytes of %d", len(client.in), n)
	}
}

func TestDataForAnOrphanResets(t *testing.T) {
	l := newLab(t, 1, Impairment{}, Config{}, Config{})
	c, s := l.connect()
	s.Close()
	l.settle(time.Second)
	if s.State() != FinWait2 || c.State() != CloseWait {
		t.Fatal(s.State(), c.State())
	}
	c.Send([]byte("nobody is there"))
	l.run(time.Second, func() bool { return errors.Is(c.Err(), ErrReset) })
	if l.server.Lookup(serverAddr, clientAddr) != nil {
		t.Error("the orphan is still there")
	}
}

func TestAbort(t *testing.T) {
	l := newLab(t, 1, Impairment{}, Config{}, Config{})
	c, s := l.connect()
	s.SetPriority(3)
	s.Abort()
	if p := l.toClient[len(l.toClient)-1]; !p.Flags.Has(segment.RST) || p.Priority != 3 {
		t.Errorf("sent %v with priority %d", p, p.Priority)
	}
	l.run(time.Second, func() bool { return errors.Is(c.Err(), ErrReset) })
}

func TestHalfClose(t *testing.T) {
	for _, clientFirst := range []bool{true, false} {
		l := newLab(t, 3, Impairment{Loss: 0.05, Delay: time.Millisecond}, Config{}, Config{})
		c, s := l.connect()
		first, second := c, s
		if !clientFirst {
			first, second = s, c
		}
		a := &app{s: first} // closes its direction at once and goes on reading
		a.start()
		l.run(time.Minute, func() bool { _, err := second.Recv(make([]byte, 1)); return errors.Is(err, io.EOF) })
		b := &app{s: second, out: make([]byte, 200000)}
		b.start()
		l.run(time.Minute, func() bool { return a.eof })
		if len(a.in) != 200000 {
			t.Errorf("read %d bytes after the half-close", len(a.in))
		}
		l.run(time.Minute, func() bool { return first.State() == TimeWait && second.State() == Closed })
	}
}

func TestSimultaneousClose(t *testing.T) {
	l := newLab(t, 1, Impairment{Delay: 10 * time.Millisecond}, Config{}, Config{})
	c, s := l.connect()
	c.Close()
	s.Close()
	l.run(time.Second, func() bool { return c.State() == Closing && s.State() == Closing })
	l.run(time.Second, func() bool { return c.State() == TimeWait && s.State() == TimeWait })
}

func TestSimultaneousOpen(t *testing.T) {
	l := newLab(t, 1, Impairment{Delay: 10 * time.Millisecond}, Config{}, Config{})
	c, _ := l.clientProcess.Connect(clientAddr, serverAddr)
	s, _ := l.process.Connect(serverAddr, clientAddr)
	l.run(10*time.Second, func() bool { return c.State() == Established && s.State() == Established })
	s.Send([]byte("hello"))
	l.run(time.Second, func() bool { return c.Readable() == 5 })
}

func TestTimeWaitIsReusedByNewerSYN(t *testing.T) {
	l := newLab(t, 1, Impairment{}, Config{}, Config{})
	c, s := l.connect()
	s.Close()
	c.Close()
	l.run(time.Second, func() bool { return s.State() == TimeWait && c.State() != CloseWait })
	old := &Packet{}
	old.Seq, old.Flags = s.Info().RcvNxt-5, segment.SYN
	wantACK(t, l.inject(old), s)
	syn := &Packet{}
	syn.Seq, syn.Flags = s.Info().RcvNxt+5, segment.SYN
	if got := l.inject(syn); len(got) != 1 || got[0].Flags != segment.SYN|segment.ACK {
		t.Errorf("a newer SYN was answered with %v", got)
	}
}

func TestZeroWindow(t *testing.T) {
	l := newLab(t, 1, Impairment{}, Config{}, Config{ReceiveBuffer: 8000})
	c, s := l.connect()
	client := &app{s: c, out: make([]byte, 30000)}
	client.start()
	l.settle(10 * time.Minute) // probes go on: the connection lives
	if s.Readable() == 0 || s.Readable() > 8000 || c.Err() != nil {
		t.Fatalf("%d bytes queued, client: %v", s.Readable(), c.Err())
	}
	probes := 0
	for _, p := range l.toServer {
		if p.Seq == s.Info().RcvNxt-1 && p.Len() == 0 {
			probes++
		}
	}
	if probes == 0 {
		t.Error("no zero-window probe")
	}
	// The window update is lost: the next probe has to find the room.
	l.dropToClient = func(*Packet) bool { return true }
	n, err := s.Recv(make([]byte, 8000))
	if err != nil {
		t.Fatal(err)
	}
	l.dropToClient = nil
	server := &app{s: s}
	server.start()
	l.run(10*time.Minute, func() bool { return server.eof })
	if n+len(server.in) != 30000 {
		t.Errorf("read %d bytes", n+len(server.in))
	}
}

func TestDelayedACK(t *testing.T) {
	l := newLab(t, 1, Impairment{}, Config{}, Config{})
	c, _ := l.connect()
	acks := func(d time.Duration) int {
		before := len(l.toClient)
		l.settle(d)
		return len(l.toClient) - before
	}
	for range quickACKs - 1 { // the SYN-ACK was the first
		c.Send([]byte("x"))
		if n := acks(0); n != 1 {
			t.Fatalf("%d ACKs at once, in the beginning", n)
		}
	}
	c.Send([]byte("x"))
	if n := acks(39 * time.Millisecond); n != 0 {
		t.Errorf("%d ACKs at once", n)
	}
	if n := acks(time.Millisecond); n != 1 {
		t.Errorf("%d ACKs after 40 ms", n)
	}
	c.Send(make([]byte, 3000))
	if n := acks(0); n == 0 {
		t.Error("two segments were not acknowledged at once")
	}
}

func TestSYNACKIsRetransmitted(t *testing.T) {
	l := newLab(t, 1, Impairment{}, Config{}, Config{})
	l.dropToClient = func(*Packet) bool { return true }
	syn := &Packet{}
	syn.Seq, syn.Flags = 1, segment.SYN
	l.inject(syn)
	l.settle(5 * time.Minute)
	if n := count(l.toClient, segment.SYN|segment.ACK); n != 1+synACKRetries {
		t.Errorf("%d SYN-ACKs", n)
	}
	if len(l.server.Sockets()) != 0 {
		t.Error("the half-open connection is still there")
	}
}

func TestSACKDescribesGaps(t *testing.T) {
	l := newLab(t, 1, Impairment{}, Config{}, Config{})
	_, s := l.connect()
	p := l.packet(s, segment.ACK)
	p.Seq += 100
	p.Payload = make([]byte, 50)
	got := l.inject(p)
	if len(got) != 1 || got[0].Options.NSACK != 1 || got[0].Options.SACK[0] != (segment.Block{Left: p.Seq, Right: p.Seq + 50}) {
		t.Errorf("answered with %v", got)
	}
}
