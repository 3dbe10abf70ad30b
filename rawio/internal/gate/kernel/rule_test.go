package kernel

import (
	"github.com/ftnet/ftnet/rawio/internal/gate"
	"github.com/ftnet/ftnet/rawio/internal/gate/gatetest"
)

// env is what every rule is tried under: address family, option layout, and the
// first sequence numbers, which make every number in the rule wrap or not.
type env struct {
	v6             bool
	layout         layout
	client, server uint32
}

// c and s are sequence numbers in the client's and the server's space, as the
// client sees them; the kernel's are delta below.
func (e env) c(n int) uint32 { return e.client + uint32(n) }
func (e env) s(n int) uint32 { return e.server + uint32(n) }

// What a translated connection's slot says, and a TSecr. Variables, because
// constants do not wrap.
var (
	delta   uint32 = 0x9000_1234
	tsDelta uint32 = 0xfff0_0001
	echoed  uint32 = 0x1000_0000
)

// rule is one case: a packet and the state it meets, and what must come of it.
type rule struct {
	name     string
	ingress  bool
	packet   tcp
	bytes    []byte // instead of packet
	priority uint32
	mark     uint32
	outage   bool // the service's state, as is
	hold     bool
	unknown  bool // the flow is not bound
	proof    bool // it is bound by BindProof
	other    bool // the port is not a service
	full     bool // the ring of outputs has no room
	engine   life

	unmodified bool // the service's flag
	slot       slotState

	verdict  gatetest.Verdict
	out      func(*tcp)       // how the packet changes, if it does
	rewrite  []byte           // the packet as it becomes, instead of out
	after    func(*slotState) // how the slot changes
	events   []gate.EventKind
	stranger bool // the events are not about the flow's connection
	outputs  []output
	stats    gate.Stats
	forgets  bool // the flow is no longer bound
	probe    bool // what is held is none of the kernel's answers
}

// life is how the engine does, and what happens if it is dead.
type life int

const (
	alive    life = iota // it has just said so, and is to
	deadHold             // it has not for long: everything is held
	deadOpen             // it has not for long: everything passes
)

// output is what is particular about an Output.
type output struct {
	Kind gate.OutputKind
	Seq  uint32
}
