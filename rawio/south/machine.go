package south

import (
	"slices"

	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/rawio/gate"
)

// Config of a Machine. The zero value of an optional field means its default.
type Config struct {
	Log     logserver.Log
	Network Network
	Gate    Gate
	Record  Record
	Kernel  Kernel
	// Fetch reads n stable bytes of a connection from the log and gives them to Machine.Fetched,
	// after it has returned. It is called for logs that are not logserver.Immediate, and
	// required for those.
	Fetch func(slot, gen uint32, id logserver.ConnID, off int64, n int)
	// Report, if not nil, is told what an operator may want to know. It must not call the Machine.
	Report   func(Report)
	MaxConns uint32 // slots; required
	// Captures is the room in bytes for captured output that the core may let
	// the rolled connections' servers fill. Default 8 MiB.
	Captures int
	// Window bounds how many spoofed handshakes are under way at once.
	// Default 256.
	Window int
	// KeepAlive is the period of the ACKs to idle clients during an outage
	// (spec figure 19), in ns. Default 5 s.
	KeepAlive int64
	// Linger is how long the core answers a client that may have missed the
	// last ACK of its connection, in ns; connections are forgotten sooner if
	// slots run out. Default 5 s, which covers four retransmissions of Linux.
	Linger int64
	// Strict has the Machine panic where a connection would change its state in a way that cannot
	// be. It is for tests; see impossible.
	Strict bool
	// Trace, if not nil, is told each stable number before an ACK can leave
	// that names it. It must not call the Machine.
	Trace func(c *Conn, stable uint32)
	// Lasting says that the log outlives the engine: it is told what a recovery
	// needs that has nothing but the log, see Machine.Restore.
	Lasting bool
	// Unanswered is how long the core asks the client of a restored connection
	// for a sign of life, in ns, before it gives the connection up. Default 15
	// minutes, after which a Linux client gives up that waits for an answer.
	Unanswered int64
	// Embryonic bounds remembered SYNs. Default 16384.
	Embryonic int
}

// service is one protected port.
type service struct {
	Service
	port     uint16
	ending   bool // what its process closes is meant, however it ends
	outage   bool
	alive    bool // a process serves it or is being started
	queue    []*Conn
	inflight int
	room     int   // handshakes that may begin before Kernel.Room is asked again, in this tick
	busy     bool  // reconnections of this recovery are not finished
	since    int64 // beginning of the outage
	crashed  int64 // time of the last crash
	// admitUntil is until when SYNs wait for room in the listener's queue; 0: none does.
	admitUntil int64
	askedAt    int64 // time of the last question whether its process is ending
	dying      bool  // the answer
	// barred has the ways by which connections could not be opened again, and why.
	barred map[entrance]string
}

// Machine is the core for all connections of one engine.
type Machine struct {
	cfg       Config
	log       logserver.Log
	borrowed  borrowed // memory of the log
	immediate bool     // reads of the log do not wait
	net       Network
	gate      Gate
	record    Record
	kernel    Kernel
	clock
	services  map[uint16]*service
	conns     index
	slots     []slotEntry
	syns      synTable
	free      slotQueue
	touched   []*Conn
	down      down
	lagging   bool     // some connection is behind, or waits to be opened again
	rolling   int      // connections in state Rolling
	page      []byte   // for what is read from the log, if it is immediate
	pages     [][]byte // to be used again
	active    []*Conn  // with timers: outage, reconnecting, resetting, lingering, held FIN, limited
	probed    int      // clients of restored connections, in this tick
	sought    search   // for holes
	reading   []reading
	young     []young                 // connections that may be half-open, the oldest first: see halfopen.go
	inherited map[segment.Flow]uint32 // bound by an earlier engine, and nobody's yet
	Stats     Stats

	via     uint32            // interface of what is told of; see Via
	ungated map[uint32]string // interfaces on which packets may pass by the gate, and why
	exposed []*exposure
	astray  map[*Conn]*astray
	// bypasses are adopted connections that the gate may not have seen all of.
	bypasses []bypass
	probing  int // how many connections the kernel may be asked about in this tick
	// unwatched says why releases cannot be observed; empty: they can.
	unwatched string
}

// Stats counts what the core has done.
type Stats struct {
	Opened, Closed, Recovered, Reset, Unprotected uint64
	Logged                                        uint64 // bytes
	Refused                                       uint64 // segments that the kernel would refuse
	ACKs                                          uint64 // sent for the kernel
	Holes                                         uint64 // segments that only the tap lacked
	QuotaFull                                     uint64 // connections that met a full quota
	LogDown                                       uint64 // connections that went on unprotected because the log was down
	Fed                                           uint64 // logged bytes sent to restarted servers
	Rolled                                        uint64 // bytes of output taken from them
	Fetched                                       uint64 // bytes read from the log for them, unless it is immediate
	Restored                                      uint64 // connections taken from the log
	Synced                                        uint64 // of these, those that a segment of the client has synchronized
	Adopted                                       uint64 // connections that have outlived their engine
	Impossible                                    uint64 // transitions of states that cannot be
}

// New returns a Machine.
func New(cfg Config) *Machine {
	if cfg.Window == 0 {
		cfg.Window = 256
	}
	if cfg.KeepAlive == 0 {
		cfg.KeepAlive = 5e9
	}
	if cfg.Linger == 0 {
		cfg.Linger = 5e9
	}
	if cfg.Captures == 0 {
		cfg.Captures = 8 << 20
	}
	if cfg.Unanswered == 0 {
		cfg.Unanswered = 15 * 60e9
	}
	if cfg.Embryonic == 0 {
		cfg.Embryonic = 16384
	}
	if cfg.Report == nil {
		cfg.Report = func(Report) {}
	}
	m := &Machine{
		cfg: cfg, log: cfg.Log, immediate: logserver.IsImmediate(cfg.Log),
		net: cfg.Network, gate: cfg.Gate, record: cfg.Record, kernel: cfg.Kernel,
		services: map[uint16]*service{},
		page:     make([]byte, feedMax),
		syns:     newSynTable(cfg.Embryonic),
	}
	m.conns = newIndex(&m.slots)
	m.now = m.kernel.Now()
	m.ticked, m.at = m.now, m.now
	return m
}

// Conn returns the connection of a flow, or nil.
func (m *Machine) Conn(f segment.Flow) *Conn { return m.conns.get(f) }

// BySlot returns the connection that holds a slot, or nil.
func (m *Machine) BySlot(slot uint32) *Conn {
	if int(slot) >= len(m.slots) {
		return nil
	}
	return m.slots[slot].conn
}

// slotOf returns the gate's record of a connection.
func (m *Machine) slotOf(c *Conn) *gate.Slot { return m.gate.Slot(c.slot) }

// slotEntry is the core's view of a gate slot.
type slotEntry struct {
	conn *Conn
	gen  uint32
}

// tag identifies a connection in the log's upcalls.
func tag(slot, gen uint32) uint64 { return uint64(gen)<<32 | uint64(slot) }

// Len returns the number of connections.
func (m *Machine) Len() int { return m.conns.n }

// Conns calls f for each connection until it returns false.
func (m *Machine) Conns(f func(*Conn) bool) {
	for i := range m.slots {
		if c := m.slots[i].conn; c != nil && !f(c) {
			return
		}
	}
}

// touch puts c on the list that Flush works through.
func (m *Machine) touch(c *Conn) {
	if !c.is(touched) {
		c.set(touched)
		m.touched = append(m.touched, c)
	}
}

// watch makes Tick look at c; unwatch ends that.
func (m *Machine) watch(c *Conn) {
	if c.timed == 0 {
		m.active = append(m.active, c)
		c.timed = int32(len(m.active))
	}
}

func (m *Machine) unwatch(c *Conn) {
	if c.timed == 0 {
		return
	}
	n := len(m.active) - 1
	last := m.active[n]
	m.active[c.timed-1], last.timed = last, c.timed
	m.active[n] = nil
	m.active, c.timed = m.active[:n], 0
}

// each calls f for the service's connections in the order of their slots; f
// may end any of them.
func (m *Machine) each(svc *service, f func(*Conn)) {
	for i := range m.slots {
		if c := m.slots[i].conn; c != nil && c.svc == svc {
			f(c)
		}
	}
}

// takeSlot gives c a free slot and a new generation of it.
func (m *Machine) takeSlot(c *Conn) bool {
	switch fresh := uint32(len(m.slots)) < m.cfg.MaxConns; {
	case m.free.len() > restingSlots || m.free.len() > 0 && !fresh:
		c.slot = m.free.take()
	case fresh:
		c.slot = uint32(len(m.slots))
		m.slots = append(m.slots, slotEntry{gen: m.slotOf(c).Gen()})
	case m.evict(), m.giveWay():
		c.slot = m.free.take()
	default:
		return false
	}
	e := &m.slots[c.slot]
	e.gen++
	e.conn, c.gen = c, e.gen
	return true
}

// evict forgets one of the connections that only linger, and reports whether
// there was one.
func (m *Machine) evict() bool {
	for _, c := range m.active {
		if c.state == Lingering && !c.is(recovered) {
			m.forget(c)
			return true
		}
	}
	return false
}

// Ports returns the protected ports.
func (m *Machine) Ports() []uint16 {
	ports := make([]uint16, 0, len(m.services))
	for p := range m.services {
		ports = append(ports, p)
	}
	slices.Sort(ports)
	return ports
}
