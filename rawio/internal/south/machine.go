package south

import (
	"slices"

	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/rawio/internal/gate"
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
	// Report, if not nil, is called with what an operator may want to know. It must not call the Machine.
	Report   func(Report)
	MaxConns uint32 // slots; required
	// Captures bounds the captured output of all roll-forwards that may be in flight between gate and
	// core, bytes. Default 8 MiB.
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
	// Strict makes the Machine panic on an impossible transition of a connection's state. It is for
	// tests; see impossible.
	Strict bool
	// Trace, if not nil, is called with each stable number before an ACK with that number
	// can leave. It must not call the Machine.
	Trace func(c *Conn, stable uint32)
	// Lasting says that the log outlives the engine. Then the core keeps in it what a recovery
	// from the log alone needs, see Machine.Restore.
	Lasting bool
	// Unanswered is how long the core probes the client of a restored connection, ns, before it
	// ends the connection. Default 15 minutes: a Linux client gives up retransmitting after that.
	Unanswered int64
	// MaxSYNs bounds the remembered SYNs of handshakes. Default 16384.
	MaxSYNs int
}

// service is one protected port.
type service struct {
	Service
	port     uint16
	fenced   bool // another engine has it: see Fence
	ending   bool // what its process closes is meant, however it ends
	outage   bool
	alive    bool // a process serves it, or is being started
	queue    []*Conn
	inflight int
	room     int   // handshakes that may begin before Kernel.Room is asked again, in this tick
	busy     bool  // reconnections of this recovery are not finished
	since    int64 // beginning of the outage
	crashed  int64 // time of the last crash
	// admitUntil is until when SYNs wait for room in the accept queue; 0: none does.
	admitUntil    int64
	endingAt      int64 // time of the last call of Kernel.Ending
	processEnding bool  // its result
	// unanswered says where trials were not answered, and why.
	unanswered map[entrance]string
}

// Machine is the core for all connections of one engine.
type Machine struct {
	cfg       Config
	log       logserver.Log
	borrowed  borrowed // memory of the log
	immediate bool     // reads of the log do not block
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
	lagging   bool     // some connection needs frequent ticks, see Busy
	rolling   int      // connections in state Rolling
	page      []byte   // buffer for reads of an immediate log
	freePages [][]byte // recycled buffers, see newPage
	active    []*Conn  // connections that need ticks: outage, reconnecting, resetting, lingering, held FIN, limited
	probed    int      // clients that were probed in this tick
	scan      scan     // for missing input
	reading   []reading
	halfOpens []halfOpenEntry         // connections that may be half-open, the oldest first: see halfopen.go
	inherited map[segment.Flow]uint32 // flows that an earlier engine has bound, and whose port was not taken over yet
	Stats     Stats

	via        uint32            // interface of the present segment or event, see Via
	ungated    map[uint32]string // interfaces on which packets may bypass the gate, and why
	exposed    []*exposure
	otherPaths map[*Conn]*otherPath
	// bypasses are adopted connections of which packets may have bypassed the gate.
	bypasses    []bypass
	queriesLeft int // how many connections the kernel may be asked about in this tick
	// unwatched says why releases cannot be observed; empty: they are.
	unwatched string
}

// Stats counts what the core has done.
type Stats struct {
	Opened, Closed, Recovered, Reset, Unprotected uint64
	Logged                                        uint64 // bytes
	Refused                                       uint64 // segments that the kernel would refuse
	ACKs                                          uint64 // sent for the kernel
	TapGaps                                       uint64 // segments behind bytes that the kernel has and the tap has missed
	QuotaFull                                     uint64 // times that a connection met a full quota
	LogDown                                       uint64 // connections that went on unprotected because the log was down
	Fed                                           uint64 // logged bytes sent to restarted servers
	Rolled                                        uint64 // bytes of output taken from them
	Fetched                                       uint64 // bytes read from the log for them, unless it is immediate
	Restored                                      uint64 // connections taken from the log
	Synced                                        uint64 // of these, those that a segment of the client has synchronized
	Adopted                                       uint64 // connections that were taken over from a dead engine
	Impossible                                    uint64 // impossible transitions of states
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
	if cfg.MaxSYNs == 0 {
		cfg.MaxSYNs = 16384
	}
	if cfg.Report == nil {
		cfg.Report = func(Report) {}
	}
	m := &Machine{
		cfg: cfg, log: cfg.Log, immediate: logserver.IsImmediate(cfg.Log),
		net: cfg.Network, gate: cfg.Gate, record: cfg.Record, kernel: cfg.Kernel,
		services: map[uint16]*service{},
		page:     make([]byte, feedMax),
		syns:     newSynTable(cfg.MaxSYNs),
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

// watch makes Tick call tick for c; unwatch ends that.
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
	case m.free.len() > quarantinedSlots || m.free.len() > 0 && !fresh:
		c.slot = m.free.take()
	case fresh:
		c.slot = uint32(len(m.slots))
		m.slots = append(m.slots, slotEntry{gen: m.slotOf(c).Gen()})
	case m.evictLingering(), m.evictHalfOpen():
		c.slot = m.free.take()
	default:
		return false
	}
	e := &m.slots[c.slot]
	e.gen++
	e.conn, c.gen = c, e.gen
	return true
}

// evictLingering forgets one connection that only lingers, and reports whether
// there was one.
func (m *Machine) evictLingering() bool {
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
