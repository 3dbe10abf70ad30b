package south_test

import (
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/internal/seqnum"
	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/rawio/internal/gate"
	"github.com/ftnet/ftnet/rawio/internal/gate/gatetest"
	"github.com/ftnet/ftnet/rawio/internal/south"
)

func (s *script) line(line string) {
	w := strings.Fields(line)
	s.print("%s", line)
	s.time += 1e6
	switch w[0] {
	case "client":
		s.client(w[1:])
	case "server":
		s.server(w[1:])
	case "cookie":
		s.env.gate.From = gatetest.FromStack
		ws := s.hasWS
		s.hasWS = ws && s.ts // a cookie has no room for it
		if w[1] != "SA" {
			s.kernel = s.number(w[1])
			w = []string{"", "SA", "ack", strconv.Itoa(int(s.synEnd))}
		}
		s.server(w[1:])
		s.env.gate.From, s.hasWS = gatetest.FromSocket, ws
	case "forwarded":
		s.env.gate.From = gatetest.FromElsewhere
		s.server(w[1:])
		s.env.gate.From = gatetest.FromSocket
	case "synack":
		s.kernel = s.number(w[1])
		s.server([]string{"SA", "ack", strconv.Itoa(int(s.synEnd))})
	case "events":
		if len(w) > 1 {
			s.env.gate.EventsFull = w[1] == "full"
			break
		}
		s.events()
	case "released":
		s.env.gate.Task = gatetest.Task{Exiting: w[1] == "crash", PID: 42, Code: 9}
		s.env.gate.Release(s.flow)
		s.env.gate.Task = gatetest.Task{}
		s.events()
	case "queue": // nobody has accepted it, and the task is none that closes the listener
		s.env.gate.Holder = gatetest.HolderQueue
	case "stall": // of the engine; the gate waits for a second
		s.env.gate.DeadAfter = 1e9
		_, _ = s.env.gate.Beat()
		s.time += int64(s.duration(w[1]))
	case "beat":
		if late, _ := s.env.gate.Beat(); late {
			flows, _ := s.env.gate.Flows() // cannot fail
			s.machine.EngineStalled(flows)
		}
	case "kernel":
		s.kernel = s.number(w[1])
	case "stable":
		s.stable()
	case "fetched":
		s.fetched(w[1:])
	case "from": // another port of the client's
		s.flow.Client = netip.AddrPortFrom(s.flow.Client.Addr(), uint16(s.number(w[1])))
	case "socket": // what the kernel has from here on, call by call; the last one stays
		list := w[1:]
		s.env.socket = func(segment.Flow) south.SocketState {
			state := map[string]south.SocketState{"none": south.SocketNone, "half": south.SocketHalfOpen, "open": south.SocketOpen}[list[0]]
			list = list[min(1, len(list)-1):]
			return state
		}
	case "looksaway":
		s.machine.LookAway()
	case "room":
		n := int(s.number(w[1]))
		s.env.room = func() int { return n }
	case "down":
		s.log.down = true
		s.machine.LogStatus(logserver.Unreachable)
	case "up":
		s.log.down = false
		s.machine.LogStatus(logserver.OK)
	case "accepted":
		s.print("%d accepted", s.accepted)
	case "unprotected":
		s.print("%d connections are unprotected, or were", s.machine.Stats.Unprotected)
	case "unwatched":
		s.machine.Unwatched("taken away")
	case "watched":
		s.machine.Watched()
	case "via":
		s.machine.Via(int(s.number(w[1])))
	case "out":
		slot := s.env.Slot(s.machine.Conn(s.flow).Slot())
		slot.SetWays(slot.In(), int(s.number(w[1])), 0)
	case "ungated":
		s.machine.Ungated(1, "taken off")
	case "kernelhas":
		in, _ := strconv.Atoi(w[1])
		out, _ := strconv.Atoi(w[2])
		s.env.progress = func(segment.Flow) (south.Progress, bool) {
			s.print("kernel: asked for its progress")
			return south.Progress{Received: int64(in), Sent: int64(out)}, true
		}
	case "gated": // the kernel's socket has received and sent so many bytes
		if len(w) == 1 {
			s.machine.Gated(1, nil)
			break
		}
		in, _ := strconv.Atoi(w[1])
		out, _ := strconv.Atoi(w[2])
		s.machine.Gated(1, map[segment.Flow]south.Progress{s.flow: {Received: int64(in), Sent: int64(out)}})
	case "trial":
		why := ""
		if w[1] == "unanswered" {
			why = "a SYN was not answered"
		}
		s.machine.TrialResult(scriptPort, 1, s.flow.Server.Addr().Is6(), why)
	case "dying":
		s.dying = true
	case "crash":
		s.dying = false
		s.machine.Crash(scriptPort)
	case "listening":
		s.print("%d to recover", s.machine.Listening(scriptPort))
	case "protect":
		s.machine.Protect(scriptPort, s.service)
	case "release":
		s.machine.Release(scriptPort)
	case "abort":
		s.machine.Abort(s.machine.Conn(s.flow), "the handler repeats itself differently")
	case "abortall":
		s.machine.AbortAll(scriptPort, "the server is given up")
	case "sweep":
		s.print("%d swept", s.machine.Sweep(int64(time.Minute), func(segment.Flow) bool { return len(w) > 1 }))
	case "tick":
		d := s.duration(w[1])
		// The engine's clock, with a step that scripts can afford.
		step := 10 * time.Millisecond
		if d >= time.Second {
			step = 250 * time.Millisecond
		}
		for ; d > 0; d -= step {
			s.time += int64(step)
			s.machine.Tick()
			s.settle()
		}
	case "jump":
		s.time += int64(s.duration(w[1]))
		s.machine.Tick()
	case "fails":
		s.machine.Fail(strings.Join(w[1:], " "))
	case "head":
		s.head(w[1:])
	case "conn":
		s.conn()
	case "slot":
		s.slot()
	case "rebase":
		b := logserver.Base{In: int64(s.number(w[1])), Out: int64(s.number(w[2]))}
		if err := s.machine.Rebase(s.machine.Conn(s.flow), b); err != nil {
			s.print("not moved: %v", err)
		}
		s.print("base %+v", s.machine.Conn(s.flow).Base())
	case "loses":
		s.logLoses()
	case "restart":
		s.restart(len(w) > 1)
	case "outputs":
		s.env.gate.OutputsFull = w[1] == "full"
	case "dies":
		s.dead = true
		return
	case "adopt":
		s.adopt(len(w) > 1)
	case "reads":
		s.reads(w[1:])
	case "log":
		s.showLog()
	default:
		s.t.Fatalf("unknown line %q", line)
	}
	if !s.dead {
		s.settle()
	}
}

// fetchCall is a call of Env.Fetch that is not answered.
type fetchCall struct {
	slot, gen uint32
	id        logserver.ConnID
	off       int64
	n         int
}

func (s *script) fetch(slot, gen uint32, id logserver.ConnID, off int64, n int) {
	s.print("log: fetch %d:%d", off, off+int64(n))
	s.fetches = append(s.fetches, fetchCall{slot, gen, id, off, n})
}

func (s *script) fetched(w []string) {
	n := len(s.fetches)
	if len(w) > 0 {
		if k, err := strconv.Atoi(w[0]); err == nil {
			n, w = k, w[1:]
		}
	}
	list := s.fetches[:n]
	s.fetches = s.fetches[n:]
	for _, f := range list {
		p := make([]byte, f.n)
		var err error
		switch {
		case len(w) == 0:
			_, err = s.log.Read(f.id, p, f.off)
		case w[0] == "unreachable":
			err = logserver.ErrUnreachable
		default:
			err = logserver.ErrFailed
		}
		s.machine.Fetched(f.slot, f.gen, f.off, p, err)
	}
}

// logLoses has the log forget the connection, and say so.
func (s *script) logLoses() {
	c := s.machine.Conn(s.flow)
	if err := s.log.Log.Delete(c.ID); err != nil {
		s.t.Fatal(err)
	}
	s.machine.Stable([]logserver.Upcall{{ID: c.ID, Tag: uint64(c.Generation())<<32 | uint64(c.Slot()), Gone: true}})
}

func (s *script) client(w []string) {
	var untapped, late bool
	switch w[0] {
	case "untapped":
		untapped, w = true, w[1:]
	case "late":
		late, w = true, w[1:]
	}
	g, _ := s.packet(w, s.irs, s.iss)
	g.Src, g.Dst = s.flow.Client, s.flow.Server
	if s.ts && !g.Options.HasTS {
		s.clientTS++
		g.Options.HasTS, g.Options.TSVal, g.Options.TSEcr = true, s.clientTS, s.echo
	}
	if g.Flags.Has(segment.SYN) {
		g.Options.MSS = s.mss
		if s.ecn {
			g.Flags |= segment.ECE | segment.CWR
		}
	}
	if g.Options.MD5 {
		s.machine.Segment(&g, s.time)
		return
	}
	p, err := g.Append(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	tapped := decoded(p, segment.ChecksumVerify)
	if !late {
		if s.env.gate.Ingress(p, 0) == gatetest.Pass {
			base := s.iss
			if s.translated() {
				base = s.kernel
			}
			s.print("-> kernel %s", s.show(decoded(p, segment.ChecksumVerify), s.irs, base))
		} else {
			s.print("held")
		}
	}
	if !untapped && !s.dead {
		s.machine.Segment(tapped, s.time)
	}
	s.events()
}

func (s *script) translated() bool {
	c := s.machine.Conn(s.flow)
	return c != nil && s.env.Slot(c.Slot()).Flags()&gate.FlagXlate != 0
}

func (s *script) server(w []string) {
	if w[0] == "refuses" { // a SYN, for want of a listener
		g := segment.Segment{Src: s.flow.Server, Dst: s.flow.Client, Ack: s.irs + 1, Flags: segment.RST | segment.ACK}
		s.egress(&g, 0)
		s.events()
		return
	}
	late, other := w[0] == "late", w[0] == "other"
	if late || other {
		w = w[1:]
	}
	g, prio := s.packet(w, s.kernel, s.irs)
	if c := s.machine.Conn(s.flow); c != nil && prio == gate.PrioClose && s.env.heads[c.Slot()] != nil {
		s.env.heads[c.Slot()].Closing = true
	}
	// The number of a segment that carries nothing may count a FIN.
	if c := s.machine.Conn(s.flow); c != nil && (len(g.Payload) > 0 || g.Flags.Has(segment.FIN)) && s.env.heads[c.Slot()] != nil {
		h, end := s.env.heads[c.Slot()], int64(seqnum.Diff(g.Seq+uint32(len(g.Payload)), s.kernel+1))
		h.Output = max(h.Output, h.una+end)
	}
	if other {
		g.Payload[len(g.Payload)-1] ^= 1
	}
	g.Src, g.Dst = s.flow.Server, s.flow.Client
	if s.ts && !g.Options.HasTS {
		s.serverTS++
		g.Options.HasTS, g.Options.TSVal, g.Options.TSEcr = true, s.serverTS, s.clientTS
	}
	if g.Flags.Has(segment.SYN) && s.ecn {
		g.Flags |= segment.ECE
	}
	if g.Flags.Has(segment.SYN) {
		g.Window = 65535
	}
	s.egress(&g, prio)
	if !late {
		s.events()
	}
}

// toClient is a packet on its way to the client, which echoes its time.
func (s *script) toClient(from string, g *segment.Segment) {
	if g.Options.HasTS {
		s.echo = seqnum.Max(s.echo, g.Options.TSVal)
	}
	s.print("%s client %s", from, s.show(g, s.iss, s.irs))
}

func (s *script) egress(g *segment.Segment, prio uint32) {
	p, err := g.Append(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	if s.env.gate.Egress(p, prio) == gatetest.Pass {
		s.toClient("->", decoded(p, segment.ChecksumVerify))
	} else {
		s.print("held")
	}
}

func (s *script) events() {
	events, outputs := s.env.gate.TakeEvents(), s.env.gate.TakeOutputs()
	if s.dead { // nobody looks
		return
	}
	for _, ev := range events {
		deliver(s.machine, &ev)
	}
	for _, o := range outputs {
		s.machine.Output(o.Kind, o.Slot, o.Gen, o.Seq, decoded(o.Packet, segment.ChecksumTrusted))
	}
}

func (s *script) head(w []string) {
	h := s.env.heads[s.machine.Conn(s.flow).Slot()]
	for i := 0; i < len(w); i++ {
		switch w[i] {
		case "accepted":
			i++
			h.Accepted, h.AcceptSeq = true, uint64(s.number(w[i]))
		case "closing":
			h.Closing = true
		case "lost":
			h.Lost = true
		case "refuse":
			h.refuse = errNoHead
		}
	}
}

func (s *script) conn() {
	c := s.machine.Conn(s.flow)
	if c == nil {
		s.print("none")
		return
	}
	i := c.Info()
	s.print("%v received %d stable %d acknowledged %d recoveries %d", c.State(), i.Received, i.Stable, i.Acked, i.Recoveries)
	if !i.Protected && (c.State() == south.Established || c.State() == south.Outage) {
		s.print("not protected: %s", i.Reason)
	}
}

func (s *script) slot() {
	l := s.env.Slot(s.machine.Conn(s.flow).Slot())
	s.print("mode %d stable %d high %d ack %d sent %d held %v", l.Mode(), l.Stable()-s.irs, l.High()-s.irs, l.Ack()-s.irs, seqnum.Diff(l.SndNxt(), s.iss), l.Held())
}

func (s *script) showLog() {
	c := s.machine.Conn(s.flow)
	_, end, err := s.log.Length(c.ID)
	if err != nil {
		s.print("%v", err)
		return
	}
	b := make([]byte, end)
	n, err := s.log.Read(c.ID, b, 0)
	if err != nil {
		s.t.Fatal(err)
	}
	for i, x := range b[:n] {
		if x != pattern(int64(i)) {
			s.t.Fatalf("the log's byte %d is %q", i, x)
		}
	}
	s.print("%d bytes, as the client sent them", n)
}
