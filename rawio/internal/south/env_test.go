package south_test

import (
	"errors"
	"fmt"
	"math"

	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/rawio/internal/gate"
	"github.com/ftnet/ftnet/rawio/internal/gate/gatetest"
	"github.com/ftnet/ftnet/rawio/internal/south"
)

// fakeEnv is the core's environment in memory: the gate is its Go model, the
// journal a map, and packets go to two functions.
type fakeEnv struct {
	now      func() int64
	gate     *gatetest.Model
	heads    map[uint32]*head
	toClient func(*segment.Segment)
	toServer func(*segment.Segment)
	destroy  func(segment.Flow)
	report   func(south.Report)
	fetch    func(slot, gen uint32, id logserver.ConnID, off int64, n int)
	socket   func(segment.Flow) south.SocketState      // nil: there always is one
	progress func(segment.Flow) (south.Progress, bool) // nil: it is not known
	room     func() int                                // nil: there is room
	note     func(format string, args ...any)          // of other calls
	outage   bool                                      // of the only service
	adopted  bool                                      // the journal may lack what was withdrawn before

	unrecorded bool        // Restore and Adopt fail
	ending     func() bool // of the only service's process
}

// head is a connection's journal.
type head struct {
	gen  uint32
	flow segment.Flow
	south.Head
	una, sent, stable int64 // of the last Prepare
	prepared          bool
	refuse            error // Prepare's result

	// The simulation's record of reads and writes.
	from  int64 // where the first read begins
	reads []int
	told  int   // of them, to the log
	base  int64 // output below is not known
	out   []byte
	most  int  // output that ever was given to the kernel
	shut  bool // the handler has closed its side, at finAt
	finAt int
}

// environment is what a fake of the core's surroundings has.
type environment interface {
	south.Network
	south.Gate
	south.Record
	south.Kernel
	Fetch(slot, gen uint32, id logserver.ConnID, off int64, n int)
	Report(south.Report)
}

// surround gives a configuration its surroundings, and has the core stop at what cannot be.
func surround(cfg south.Config, e environment) south.Config {
	cfg.Strict = true
	cfg.Network, cfg.Gate, cfg.Record, cfg.Kernel, cfg.Fetch, cfg.Report = e, e, e, e, e.Fetch, e.Report
	return cfg
}

func (e *fakeEnv) Now() int64               { return e.now() }
func (e *fakeEnv) Slot(i uint32) *gate.Slot { return e.gate.Slot(i) }
func (e *fakeEnv) Report(r south.Report)    { e.report(r) }
func (e *fakeEnv) Fetch(slot, gen uint32, id logserver.ConnID, off int64, n int) {
	e.fetch(slot, gen, id, off, n)
}
func (e *fakeEnv) Socket(flow segment.Flow) south.SocketState {
	if e.socket == nil {
		return south.SocketOpen
	}
	return e.socket(flow)
}

func (e *fakeEnv) Progress(flow segment.Flow) (south.Progress, bool) {
	if e.progress == nil {
		return south.Progress{}, false
	}
	return e.progress(flow)
}

func (e *fakeEnv) Unguarded(ifindex int) string {
	if ifindex < 8 {
		return ""
	}
	return fmt.Sprintf("eth%d", ifindex)
}

func (e *fakeEnv) Room(uint16) int {
	if e.room == nil {
		return math.MaxInt
	}
	return e.room()
}

func (e *fakeEnv) Destroy(flow segment.Flow) { e.destroy(flow) }

func (e *fakeEnv) Bind(flow segment.Flow, slot uint32) error {
	e.note("gate: bind slot %d", slot)
	return e.gate.Bind(flow, slot)
}

func (e *fakeEnv) Unbind(flow segment.Flow) {
	e.note("gate: unbind")
	_ = e.gate.Unbind(flow) // cannot fail
}

func (e *fakeEnv) SetService(port uint16, outage, unmodified bool) {
	e.outage = outage
	state := gate.ServiceListen
	if outage {
		state = gate.ServiceOutage
	}
	e.note("gate: service %v", state)
	_ = e.gate.SetService(port, state, unmodified) // cannot fail
}

func (e *fakeEnv) HoldService(port uint16, unmodified bool) {
	e.note("gate: service %v", gate.ServiceHold)
	_ = e.gate.SetService(port, gate.ServiceHold, unmodified) // cannot fail
}

func (e *fakeEnv) ToClient(s *segment.Segment) { e.toClient(encoded(s)) }
func (e *fakeEnv) ToServer(s *segment.Segment) { e.toServer(encoded(s)) }

// encoded takes a segment through the codec, as the injector does.
func encoded(s *segment.Segment) *segment.Segment {
	p, err := s.Append(nil)
	if err != nil {
		panic(fmt.Sprintf("%v: %v", s, err))
	}
	return decoded(p, segment.ChecksumVerify)
}

func decoded(packet []byte, c segment.Checksum) *segment.Segment {
	var (
		dec segment.Decoder
		s   segment.Segment
	)
	if err := dec.Decode(packet, c, &s); err != nil {
		panic(err)
	}
	return &s
}

func (e *fakeEnv) Forward(packet []byte) { e.toClient(decoded(packet, segment.ChecksumVerify)) }

var errNoHead = errors.New("no such head")

func (e *fakeEnv) Publish(slot, gen uint32, flow segment.Flow) error {
	e.heads[slot] = &head{gen: gen, flow: flow}
	return nil
}

func (e *fakeEnv) Withdraw(slot uint32) {
	if e.heads[slot] == nil && !e.adopted {
		panic(fmt.Sprintf("slot %d withdrawn twice", slot))
	}
	delete(e.heads, slot)
}

func (e *fakeEnv) Prepare(slot uint32, b south.Base, una, sent, stable int64) error {
	h := e.heads[slot]
	if h == nil {
		return errNoHead
	}
	if b != (south.Base{}) {
		e.note("journal: begins to read at %d, to write at %d", b.In, b.Out)
	}
	e.note("journal: acknowledged %d, sent %d, stable %d", una, sent, stable)
	if una > sent || una < b.Out || stable < b.In || b.In < h.from {
		panic(fmt.Sprintf("prepare %+v una %d sent %d stable %d, record from %d", b, una, sent, stable, h.from))
	}
	if out := max(h.Output, int64(len(h.out))); sent > out && una <= out {
		panic(fmt.Sprintf("prepare una %d sent %d, of %d that were written", una, sent, out))
	}
	h.una, h.sent, h.stable, h.prepared = una, sent, stable, true
	h.Closing = false
	return h.refuse
}

func (e *fakeEnv) Head(slot uint32) south.Head {
	h := e.heads[slot]
	if h == nil {
		return south.Head{Lost: true}
	}
	h.Output = max(h.Output, int64(len(h.out)))
	return h.Head
}

// event gives the core the gate's reports, as the engine does.
func deliver(m *south.Machine, ev *gate.Event) {
	if ev.Kind == gate.EventCrashed {
		m.Crashed(ev.Slot, ev.PID, ev.Code)
		return
	}
	packet := append([]byte(nil), ev.Packet...)
	if ev.Kind == gate.EventUnfollowed {
		segment.Unfragment(packet)
	}
	missing := ev.Length - len(packet)
	if missing > 0 {
		segment.CutLength(packet)
	}
	s := decoded(packet, segment.ChecksumTrusted)
	length := s.Len()
	if missing > 0 {
		length, packet = length+uint32(missing), nil
	}
	m.Event(ev.Kind, s, length, packet, int64(ev.Ktime))
}

// noteLog tells what the core writes.
type noteLog struct {
	logserver.Log
	note    func(format string, args ...any)
	fetched bool
	down    bool // nothing is taken
}

// Immediate is false where the script says what is fetched when.
func (l *noteLog) Immediate() bool { return !l.fetched }

func (l *noteLog) Open(m logserver.Meta) (logserver.ConnID, error) {
	if l.down {
		l.note("log: not opened")
		return 0, logserver.ErrUnreachable
	}
	id, err := l.Log.Open(m)
	l.note("log: open%s", failed(err))
	return id, err
}

func (l *noteLog) Write(id logserver.ConnID, off int64, p []byte) (int, error) {
	if l.down {
		l.note("log: data not taken")
		return 0, logserver.ErrUnreachable
	}
	n, err := l.Log.Write(id, off, p)
	l.note("log: data %d:%d%s", off, off+int64(len(p)), failed(err))
	return n, err
}

func (l *noteLog) Room(id logserver.ConnID) (int64, error) {
	if l.down {
		return 0, logserver.ErrUnreachable
	}
	return l.Log.Room(id)
}

func (l *noteLog) Finish(id logserver.ConnID, off int64) error {
	if l.down {
		l.note("log: end not taken")
		return logserver.ErrUnreachable
	}
	err := l.Log.Finish(id, off)
	l.note("log: end at %d%s", off, failed(err))
	return err
}

func (l *noteLog) Delete(id logserver.ConnID) error {
	err := l.Log.Delete(id)
	l.note("log: delete%s", failed(err))
	return err
}

func failed(err error) string {
	if err == nil {
		return ""
	}
	return ": " + err.Error()
}
