package south_test

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/ftnet/ftnet/internal/seqnum"
	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/rawio/gate"
	"github.com/ftnet/ftnet/rawio/segment"
	"github.com/ftnet/ftnet/rawio/south"
)

// TestScripts plays testdata; -rewrite writes what the core does into the
// files. A script reads like a packet trace. `new` makes an engine; each line
// of `play` is one thing that happens:
//
//	client FLAGS [SEQ[:END]] [ack N] [win N] [ts VAL ECR] [sack L:R …]
//	server [late] FLAGS [SEQ[:END]] [ack N] … [prio close|shut]
//
// Flags are tcpdump's, with A for ACK. Numbers are relative to the ISN of
// their sender; for a server segment that is the present kernel socket's.
//
//	server refuses   the answer to a SYN when nobody listens
//
// `client untapped …` passes the gate but is missed by the tap, `client late
// …` is tapped but judged only by the core (the gate stole it). What the gate
// reports of `server late …` reaches the core with `events`;
// `server other …` has another last byte.
//
//	stable           the log's upcalls are delivered (after `new manual`)
//	crash, listening, protect, release, abort, abortall, tick DURATION, sweep [exists]
//	head [accepted N] [closing] [lost]     what the journal says
//	synack ISN       the kernel's next socket answers the core's SYN
//	released crash|close   the server's process lets go of the connection
//	kernel ISN       the kernel has another socket
//	conn, slot, log  show state
//
// The answer's lines: "-> kernel" and "-> client" are packets that pass the
// gate as the receiver gets them, "core ->" those that the core sends.
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		if strings.HasSuffix(path, ".fail") {
			return
		}
		var s *script
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "new":
				s = newScript(t, d)
				return s.take()
			case "play":
				for line := range strings.Lines(d.Input) {
					if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
						s.line(line)
					}
				}
				return s.take()
			}
			t.Fatalf("unknown command %q", d.Cmd)
			return ""
		})
	})
}

const scriptPort = 7000

type script struct {
	t       *testing.T
	out     []string
	times   []int
	time    int64
	env     *fakeEnv
	machine *south.Machine
	service south.Service
	log     *noteLog
	manual  bool
	upcalls []logserver.Upcall

	flow     segment.Flow
	irs, iss uint32 // base of relative numbers, as the client sees them
	kernel   uint32 // ISN of the kernel's present socket
	synEnd   uint32 // of the core's last SYN to the kernel
	ts, sack bool
	ws       uint8
	hasWS    bool
	clientTS uint32
	serverTS uint32
	ecn      bool
}

func newScript(t *testing.T, d *datadriven.TestData) *script {
	s := &script{
		t: t, time: 1e9, irs: 1000, iss: 5000,
		flow: segment.Flow{
			Client: netip.MustParseAddrPort("10.0.0.2:4000"),
			Server: netip.MustParseAddrPort("10.0.0.1:7000"),
		},
	}
	cfg := south.Config{MaxConns: 16}
	mem := logserver.MemoryConfig{}
	for _, a := range d.CmdArgs {
		v := ""
		if len(a.Vals) > 0 {
			v = a.Vals[0]
		}
		switch a.Key {
		case "manual":
			s.manual = true
		case "irs":
			s.irs = s.number(v)
		case "iss":
			s.iss = s.number(v)
		case "ts":
			s.ts = true
		case "sack":
			s.sack = true
		case "ecn":
			s.ecn = true
		case "ws":
			s.hasWS, s.ws = true, uint8(s.number(v))
		case "quota":
			s.service.Quota = int64(s.number(v))
		case "total":
			mem.QuotaTotal = int64(s.number(v))
		case "conns":
			cfg.MaxConns = s.number(v)
		case "unmodified":
			s.service.Unmodified = true
			if v == "length" {
				s.service.Compare = south.CompareLength
			}
		case "idle":
			s.service.Log, s.service.Idle = south.LogSinceIdle, int64(s.duration(v))
		case "off":
			s.service.Log = south.LogOff
		case "full":
			s.service.OnFull = map[string]south.OnFull{"close-window": south.CloseWindow, "unprotect": south.Unprotect, "reset": south.ResetConn}[v]
		default:
			t.Fatalf("unknown argument %q", a.Key)
		}
	}
	s.kernel = s.iss
	s.clientTS, s.serverTS = 100, 900
	backend, err := logserver.NewMemory(&mem)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = backend.Close() })
	if err := backend.RegisterService(scriptPort); err != nil {
		t.Fatal(err)
	}
	backend.SetUpcall(func(u []logserver.Upcall) { s.upcalls = append(s.upcalls, u...) })
	s.log = &noteLog{backend, s.print}
	model := gate.NewModel(16)
	model.Now = func() uint64 { return uint64(s.time) }
	s.env = &fakeEnv{
		now: func() int64 { return s.time }, gate: model, heads: map[uint32]*head{},
		toClient: func(g *segment.Segment) { s.print("core -> client %s", s.show(g, s.iss, s.irs)) },
		toServer: func(g *segment.Segment) {
			base := s.kernel
			if g.Flags.Has(segment.SYN) {
				s.synEnd = g.End() - s.irs
			}
			s.print("core -> kernel %s", s.show(g, s.irs, base))
		},
		destroy: func(segment.Flow) { s.print("kernel: destroy") },
		report: func(r south.Report) {
			line := "report: " + kindNames[r.Kind]
			if r.Reason != "" {
				line += ": " + r.Reason
			}
			s.print("%s", line)
		},
		note: s.print,
	}
	cfg.Log, cfg.Env = s.log, s.env
	s.machine = south.New(cfg)
	s.machine.Protect(scriptPort, s.service)
	return s
}

var kindNames = map[south.Kind]string{
	south.ConnOpened: "opened", south.ConnClosed: "closed", south.ConnReset: "reset",
	south.ConnUnprotected: "unprotected", south.ConnRecovered: "recovered",
	south.ServiceRecovered: "service recovered", south.ConnCrashed: "process crashed", south.ConnMismatch: "mismatch", south.QuotaFull: "quota full", south.SYNRefused: "SYN refused",
}

// print adds a line to the answer; repeated ones are counted.
func (s *script) print(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	if n := len(s.out); n > 0 && s.out[n-1] == line {
		s.times[n-1]++
		return
	}
	s.out, s.times = append(s.out, line), append(s.times, 1)
}

func (s *script) take() string {
	var b strings.Builder
	for i, line := range s.out {
		b.WriteString(line)
		if s.times[i] > 1 {
			fmt.Fprintf(&b, " (%d times)", s.times[i])
		}
		b.WriteByte('\n')
	}
	s.out, s.times = nil, nil
	return b.String()
}

func (s *script) duration(v string) time.Duration {
	d, err := time.ParseDuration(v)
	if err != nil {
		s.t.Fatal(err)
	}
	return d
}

func (s *script) number(v string) uint32 {
	n, err := strconv.ParseUint(v, 0, 32)
	if err != nil {
		s.t.Fatal(err)
	}
	return uint32(n)
}

// settle is what the engine does after each batch.
func (s *script) settle() {
	for {
		if !s.manual && len(s.upcalls) > 0 {
			s.stable()
		}
		s.machine.Flush()
		if s.manual || len(s.upcalls) == 0 {
			return
		}
	}
}

func (s *script) stable() {
	u := s.upcalls
	s.upcalls = nil
	s.machine.Stable(u)
}

func (s *script) line(line string) {
	w := strings.Fields(line)
	s.print("%s", line)
	s.time += 1e6
	switch w[0] {
	case "client":
		s.client(w[1:])
	case "server":
		s.server(w[1:])
	case "synack":
		s.kernel = s.number(w[1])
		s.server([]string{"SA", "ack", strconv.Itoa(int(s.synEnd))})
	case "events":
		s.events()
	case "released":
		s.env.gate.Task = gate.Task{Exiting: w[1] == "crash", PID: 42, Code: 9}
		s.env.gate.Release(s.flow)
		s.events()
	case "kernel":
		s.kernel = s.number(w[1])
	case "stable":
		s.stable()
	case "crash":
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
	case "head":
		s.head(w[1:])
	case "conn":
		s.conn()
	case "slot":
		s.slot()
	case "log":
		s.showLog()
	default:
		s.t.Fatalf("unknown line %q", line)
	}
	s.settle()
}

// packet parses a segment. seq and ack are added to the numbers.
func (s *script) packet(w []string, seq, ack uint32) (g segment.Segment, prio uint32) {
	g.Window = 500
	for _, f := range w[0] {
		i := strings.IndexRune("FSRPAUEWe", f)
		if i < 0 {
			s.t.Fatalf("flags %q", w[0])
		}
		g.Flags |= 1 << i
	}
	syn := g.Flags.Has(segment.SYN)
	g.Seq, g.Ack = seq+1, ack+1
	if syn {
		g.Seq = seq
	}
	w = w[1:]
	if len(w) > 0 && w[0][0] >= '0' && w[0][0] <= '9' {
		from, to, both := strings.Cut(w[0], ":")
		g.Seq = seq + s.number(from)
		if both {
			n := int(seq + s.number(to) - g.Seq)
			g.Payload = make([]byte, n)
			for i := range g.Payload {
				g.Payload[i] = pattern(int64(g.Seq-seq) - 1 + int64(i))
			}
		}
		w = w[1:]
	}
	for len(w) > 0 {
		n := 2
		switch w[0] {
		case "ack":
			g.Ack = ack + s.number(w[1])
		case "win":
			g.Window = uint16(s.number(w[1]))
		case "ts":
			g.Options.HasTS, g.Options.TSVal, g.Options.TSEcr = true, s.number(w[1]), s.number(w[2])
			n = 3
		case "md5":
			g.Options.MD5 = true
			n = 1
		case "sack":
			for _, b := range w[1:] {
				l, r, _ := strings.Cut(b, ":")
				base := ack
				g.Options.SACK[g.Options.NSACK] = segment.Block{Left: base + s.number(l), Right: base + s.number(r)}
				g.Options.NSACK++
			}
			n = len(w)
		case "prio":
			prio = map[string]uint32{"close": gate.PrioClose, "shut": gate.PrioShut}[w[1]]
		default:
			s.t.Fatalf("option %q", w[0])
		}
		w = w[n:]
	}
	if !g.Flags.Has(segment.ACK) {
		g.Ack = 0
	}
	if syn {
		g.Options.MSS = 1460
		g.Options.SACKPermitted = s.sack
		g.Options.HasWScale, g.Options.WScale = s.hasWS, s.ws
	}
	return g, prio
}

// pattern is the byte at an offset of either stream.
func pattern(off int64) byte { return "abcdefghijklmnopqrstuvwxyz"[off%26] }

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
		g.Options.HasTS, g.Options.TSVal, g.Options.TSEcr = true, s.clientTS, s.serverTS
	}
	if g.Flags.Has(segment.SYN) && s.ecn {
		g.Flags |= segment.ECE | segment.CWR
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
		if s.env.gate.Ingress(p, 0) == gate.Pass {
			base := s.iss
			if s.translated() {
				base = s.kernel
			}
			s.print("-> kernel %s", s.show(decoded(p, segment.ChecksumVerify), s.irs, base))
		} else {
			s.print("held")
		}
	}
	if !untapped {
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
	if c := s.machine.Conn(s.flow); c != nil && s.env.heads[c.Slot()] != nil {
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

func (s *script) egress(g *segment.Segment, prio uint32) {
	p, err := g.Append(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	if s.env.gate.Egress(p, prio, 0) == gate.Pass {
		s.print("-> client %s", s.show(decoded(p, segment.ChecksumVerify), s.iss, s.irs))
	} else {
		s.print("held")
	}
}

func (s *script) events() {
	for _, ev := range s.env.gate.TakeEvents() {
		deliver(s.machine, &ev)
	}
	for _, o := range s.env.gate.TakeOutputs() {
		s.machine.Output(o.Kind, o.Slot, o.Gen, o.Seq, decoded(o.Packet, segment.ChecksumTrusted))
	}
}

// show writes a segment with relative numbers.
func (s *script) show(g *segment.Segment, seq, ack uint32) string {
	rel := *g
	rel.Seq -= seq
	if g.Flags.Has(segment.ACK) {
		rel.Ack -= ack
	}
	for i := range rel.Options.NSACK {
		rel.Options.SACK[i].Left -= ack
		rel.Options.SACK[i].Right -= ack
	}
	line := rel.String()
	return line[strings.Index(line, "["):]
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
