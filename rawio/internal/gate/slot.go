package gate

import (
	"encoding/binary"
	"fmt"
	"sync/atomic"
	"unsafe"
)

// SlotSize is the size of a [Slot] in bytes: two cache lines, the first written
// by the engine only, the second by the gate only (held: by both).
const SlotSize = 128

// Mode is what the gate does with a connection's packets.
type Mode uint32

// The modes. The engine moves between them; every change is one atomic store,
// made after the fields that the new mode reads.
const (
	ModeFree   Mode = 0 // slot not in use: packets pass untouched
	ModeLive   Mode = 1 // judge every packet
	ModeOutage Mode = 2 // hold everything in both directions
	ModeSpoof  Mode = 3 // as ModeOutage, but SYN-ACKs are reported
	ModeOpen   Mode = 4 // translate, otherwise let everything pass
	// ModeRoll holds everything in both directions, as ModeOutage, and captures
	// what the server sends as Outputs of kind OutputRoll. Nothing but the
	// count of packets is noted in the slot.
	ModeRoll Mode = 5
)

// SlotFlags say which parts of a Slot are valid.
type SlotFlags uint32

const (
	FlagXlate SlotFlags = 1 << iota // Delta, TSDelta and the scales differ from the identity
	FlagLimit                       // Limit is valid
	FlagTS                          // timestamps were negotiated
	FlagSACK                        // SACK was negotiated
	// FlagRecord: in ModeLive, each segment with payload is captured as an
	// Output of kind OutputSent before it leaves. If there is no room it is
	// held; TCP repeats it.
	FlagRecord
	// FlagUnmodified: the server announces nothing. A FIN or RST is meant
	// unless the process that released the socket crashed; see Released.
	FlagUnmodified
	// FlagLasting: the log is to outlive the host. Else an ACK may leave before
	// the log has what it acknowledges when the server has closed the connection
	// and FlagUnmodified is set: nobody will read that.
	FlagLasting
	// FlagCookie: the kernel's socket was made from a SYN cookie, and its listener would make
	// another one from the same segments. When the server has closed, retransmissions of what the socket
	// has received are held.
	FlagCookie
	// FlagOver is not for the gate. It shows an engine that adopts a slot in ModeRoll or ModeOpen that
	// the connection is over for its client: it is neither being rolled forward nor unprotected.
	FlagOver
)

// Released says what became of the kernel's socket of an unmodified server's
// connection: whether its process has released it, and why.
type Released uint32

const (
	ReleasedNo      Released = 0 // a process holds it
	ReleasedClosed  Released = 1 // by a process that lives on, or ended by exit(0)
	ReleasedCrashed Released = 2 // by the end of a process, with another exit code or a signal
)

// String returns the name.
func (r Released) String() string {
	switch r {
	case ReleasedNo:
		return "held"
	case ReleasedClosed:
		return "closed"
	case ReleasedCrashed:
		return "crashed"
	}
	return fmt.Sprintf("Released(%d)", uint32(r))
}

// Opened says why the gate has opened a connection: it has passed a packet that must not leave a
// protected connection, and passes all that follow.
type Opened uint32

const (
	OpenedNo Opened = 0 // the gate has not opened it
	// OpenedStall: it took the engine for dead (MinDeadAfter), and passed an ACK of bytes
	// that are not stable, output that was not captured, or a FIN or RST of a crash.
	OpenedStall    Opened = 1
	OpenedUrgent   Opened = 2 // the server has sent urgent data, see EventUnfollowed
	OpenedFragment Opened = 3 // it sends fragments, likewise
)

// Slot is one connection's shared record, laid out as `struct slot` in
// bpf/maps.h. The engine and the gate access it at the same time: every access
// is atomic, and nothing ever writes the whole value.
//
// Sequence numbers are in the client's spaces: what the client sends, or what
// the client sees of the server.
//
// The held/stable exchange is a race of two parties, each of which writes one
// word and then reads the other's, with a full barrier in between. The gate
// sets held and re-reads stable; the engine calls [Slot.SetStable] (or
// [Slot.SetHigh]) and then [Slot.TakeHeld]. So at least one of them sees the
// other and the ACK leaves; the compare-and-swap on held makes it exactly one.
type Slot struct {
	stable  atomic.Uint32
	mode    atomic.Uint32
	delta   atomic.Uint32
	tsDelta atomic.Uint32
	limit   atomic.Uint32
	flags   atomic.Uint32
	high    atomic.Uint32
	irs     atomic.Uint32
	scales  atomic.Uint32 // bytes in memory order: kernel's, client's, 0, 0
	gen     atomic.Uint32
	base    atomic.Uint32
	mark    atomic.Uint32
	_       [4]uint32

	held     atomic.Uint32
	ack      atomic.Uint32
	edge     atomic.Uint32
	sndNxt   atomic.Uint32
	tsVal    atomic.Uint32
	tsEcr    atomic.Uint32
	hflags   atomic.Uint32
	fin      atomic.Uint32
	finEnd   atomic.Uint32
	egress   atomic.Uint32
	heldIn   atomic.Uint32
	released atomic.Uint32
	opened   atomic.Uint32
	priority atomic.Uint32
	iif, oif atomic.Uint32
}

var _ [SlotSize]byte = [unsafe.Sizeof(Slot{})]byte{}

// Reset zeroes the slot for its next connection. The mode is cleared first, so that
// the gate does not judge packets of the old connection while the rest is cleared.
// A packet that is being judged on another CPU at that moment may still write the gate's
// words: unbind the flow some milliseconds before the slot is used again.
func (s *Slot) Reset() {
	s.mode.Store(uint32(ModeFree))
	for _, w := range []*atomic.Uint32{
		&s.stable, &s.delta, &s.tsDelta, &s.limit, &s.flags, &s.high, &s.irs, &s.scales, &s.gen, &s.base,
	} {
		w.Store(0)
	}
	s.opened.Store(0)
	s.priority.Store(0)
	s.mark.Store(0)
	s.iif.Store(0)
	s.oif.Store(0)
	s.released.Store(uint32(ReleasedNo))
	s.ResetGate()
}

// ResetGate zeroes the words that the gate writes when it judges packets, for a
// connection that gets a new kernel socket: all but Opened, the priority and the ways.
// Call it only while the mode keeps the gate from writing: free, outage, spoof or roll.
// It leaves Released alone, which the gate sets in any mode, when the socket is released.
func (s *Slot) ResetGate() {
	for _, w := range []*atomic.Uint32{
		&s.held, &s.ack, &s.edge, &s.sndNxt, &s.tsVal, &s.tsEcr, &s.hflags,
		&s.fin, &s.finEnd, &s.egress, &s.heldIn,
	} {
		w.Store(0)
	}
}

// Stable returns the highest ACK number that may leave: the spec's stable + 1.
func (s *Slot) Stable() uint32 { return s.stable.Load() }

// SetStable raises the highest ACK number that may leave. Follow it with
// TakeHeld; see the type's comment.
func (s *Slot) SetStable(ack uint32) { s.stable.Store(ack) }

// Mode returns what the gate does with the connection.
func (s *Slot) Mode() Mode { return Mode(s.mode.Load()) }

// SetMode changes what the gate does, from the next packet on. A packet that
// is being judged on another CPU may still see the old mode.
func (s *Slot) SetMode(m Mode) { s.mode.Store(uint32(m)) }

// Delta returns client-visible minus kernel server sequence numbers.
func (s *Slot) Delta() uint32 { return s.delta.Load() }

// TSDelta returns client-visible minus kernel TSval.
func (s *Slot) TSDelta() uint32 { return s.tsDelta.Load() }

// setTranslation sets both deltas: what to add to the kernel's sequence numbers
// and TSvals so that the client sees the spaces it knows. Set it, setScales and
// FlagXlate only while the mode holds all packets.
func (s *Slot) setTranslation(delta, tsDelta uint32) {
	s.delta.Store(delta)
	s.tsDelta.Store(tsDelta)
}

// SetTSDelta raises the delta of TSvals, in any mode: a packet that is being judged meanwhile may
// leave with an older TSval than those that follow.
func (s *Slot) SetTSDelta(delta uint32) { s.tsDelta.Store(delta) }

// Base returns the client-visible number of the kernel socket's first byte.
func (s *Slot) Base() uint32 { return s.base.Load() }

// setBase sets it. A lower ACK number, which the client may have sent to the old
// socket, is raised to it: the new socket would drop that segment's data
// (by its max_window rule of RFC 5961). Same rules as for
// setTranslation.
func (s *Slot) setBase(seq uint32) { s.base.Store(seq) }

// Limit returns the highest right window edge that may be advertised.
func (s *Slot) Limit() uint32 { return s.limit.Load() }

// SetLimit sets the highest right window edge that may be advertised; it is
// obeyed while FlagLimit is set.
func (s *Slot) SetLimit(edge uint32) { s.limit.Store(edge) }

// Flags returns which parts of the slot are valid.
func (s *Slot) Flags() SlotFlags { return SlotFlags(s.flags.Load()) }

// SetFlags replaces the flags.
func (s *Slot) SetFlags(f SlotFlags) { s.flags.Store(uint32(f)) }

// High returns the number below which the tap has seen every byte that the
// kernel may have reported in a SACK block.
func (s *Slot) High() uint32 { return s.high.Load() }

// SetHigh raises High. Follow it with TakeHeld, as SetStable.
func (s *Slot) SetHigh(seq uint32) { s.high.Store(seq) }

// IRS returns the client's initial sequence number.
func (s *Slot) IRS() uint32 { return s.irs.Load() }

// setIRS sets the client's initial sequence number.
func (s *Slot) setIRS(seq uint32) { s.irs.Store(seq) }

// Scales returns the window shifts, 0..14: that of the present kernel
// socket, and that of the client's handshake.
func (s *Slot) Scales() (kernel, client uint8) {
	var b [4]byte
	binary.NativeEndian.PutUint32(b[:], s.scales.Load())
	return b[0], b[1]
}

// setScales sets the window shifts, 0..14.
func (s *Slot) setScales(kernel, client uint8) {
	s.scales.Store(binary.NativeEndian.Uint32([]byte{kernel, client, 0, 0}))
}

// Gen returns the generation of the slot: which connection it serves.
func (s *Slot) Gen() uint32 { return s.gen.Load() }

// setGen sets the generation.
func (s *Slot) setGen(gen uint32) { s.gen.Store(gen) }

// Held reports whether an ACK number above stable was lowered or held back and
// no later segment has carried it.
func (s *Slot) Held() bool { return s.held.Load() != 0 }

// TakeHeld clears held and reports whether it was set. The caller that gets true sends the
// ACK; the gate clears held in the same way when the kernel's next segment carries the number.
func (s *Slot) TakeHeld() bool { return s.held.CompareAndSwap(1, 0) }

// Ack returns the newest ACK number that the kernel wanted to send.
func (s *Slot) Ack() uint32 { return s.ack.Load() }

// Edge returns the newest right window edge that the kernel advertised, before
// FlagLimit was applied.
func (s *Slot) Edge() uint32 { return s.edge.Load() }

// SetAck starts the record of the kernel's newest ACK, for a connection whose
// SYN-ACK the engine sends itself: the gate never records a lower one, compared serially, so
// it must be set before the mode is live or open.
func (s *Slot) SetAck(ack, edge uint32) {
	s.ack.Store(ack)
	s.edge.Store(edge)
}

// SndNxt returns the highest client-visible sequence end that was sent, SYN and
// FIN counted.
func (s *Slot) SndNxt() uint32 { return s.sndNxt.Load() }

// SetSndNxt starts the record of what was sent: the gate only ever raises it,
// compared serially, so it must be set before the mode is live or open.
func (s *Slot) SetSndNxt(seq uint32) { s.sndNxt.Store(seq) }

// TSVal returns the newest TSval that left, as the client sees it.
func (s *Slot) TSVal() uint32 { return s.tsVal.Load() }

// TSEcr returns the newest TSecr that the kernel wanted to send.
func (s *Slot) TSEcr() uint32 { return s.tsEcr.Load() }

// SetTS sets what the gate records of the newest timestamps.
func (s *Slot) SetTS(val, ecr uint32) {
	s.tsVal.Store(val)
	s.tsEcr.Store(ecr)
}

// HeldFlags returns the ECN bits (ECE 64, CWR 128) of the newest held ACK.
func (s *Slot) HeldFlags() uint8 { return uint8(s.hflags.Load()) }

// bareACK is one in the count above the flags in hflags.
const bareACK = 0x100

// MaxBareACKs is the greatest number that BareACKs returns.
const MaxBareACKs = 1<<24 - 1

// BareACKs returns how many segments without data, FIN or RST were held because their
// ACK number was above stable; it wraps after MaxBareACKs. The kernel sends them when it has
// received data, or a retransmission of it. Its window probes and keepalives do not count, except those
// after a FIN.
func (s *Slot) BareACKs() uint32 { return s.hflags.Load() / bareACK }

// FIN returns the sequence end, as the client sees it, of the FIN that the
// application meant, and whether one has passed.
func (s *Slot) FIN() (end uint32, passed bool) {
	passed = s.fin.Load()&finPassed != 0
	return s.finEnd.Load(), passed
}

// SetFIN records a FIN that passed before: its retransmissions pass too,
// whoever closes the socket.
func (s *Slot) SetFIN(end uint32) {
	s.finEnd.Store(end)
	s.fin.Or(finPassed)
}

// The bits of Slot.fin.
const (
	finPassed = 1 << iota // a FIN has passed
	finRST                // a meant RST has passed
	finClosed             // the engine has taken note of a meant release
)

// Aborted reports whether a RST has passed that the application meant. The
// connection is over, even if the client has missed it: from then on every RST passes.
func (s *Slot) Aborted() bool { return s.fin.Load()&finRST != 0 }

// Egress returns the number of packets seen at egress; it wraps.
func (s *Slot) Egress() uint32 { return s.egress.Load() }

// Released returns what became of the kernel's socket; ReleasedNo unless the
// service is unmodified and the gate watches releases. It is set before the
// socket's FIN or RST is judged.
func (s *Slot) Released() Released { return Released(s.released.Load()) }

// SetReleased sets it, for a connection that gets a new kernel socket. The gate sets it
// whenever a socket is released.
func (s *Slot) SetReleased(r Released) { s.released.Store(uint32(r)) }

// NoteRelease clears ReleasedClosed after the engine has noted it: ACKs wait for the log
// again. A later FIN or RST of the socket still counts as meant.
func (s *Slot) NoteRelease() {
	s.fin.Or(finClosed)
	s.released.CompareAndSwap(uint32(ReleasedClosed), uint32(ReleasedNo))
}

// Noted reports whether NoteRelease was called for the present kernel socket.
func (s *Slot) Noted() bool { return s.fin.Load()&finClosed != 0 }

// In returns the index of the interface on which the client's packets arrive, of stacked ones the
// last before the IP stack; 0: it is not known yet.
func (s *Slot) In() int { return int(s.iif.Load()) }

// Out returns the index of the interface by which the kernel's packets leave, of stacked ones the
// first, and the mark that they had there; 0: it is not known yet.
func (s *Slot) Out() (ifindex int, mark uint32) { return int(s.oif.Load()), s.mark.Load() }

// SetWays sets what In and Out return, of a slot that is not bound yet.
func (s *Slot) SetWays(in, out int, mark uint32) {
	s.iif.Store(uint32(in))
	s.oif.Store(uint32(out))
	s.mark.Store(mark)
}

// Opened reports whether the gate has opened the connection: it passes everything, and the connection
// cannot be protected any more. Only Reset clears it.
func (s *Slot) Opened() bool { return s.WhyOpened() != OpenedNo }

// WhyOpened says why that is so.
func (s *Slot) WhyOpened() Opened { return Opened(s.opened.Load()) }

// HeldIn returns the number of ingress packets held in an outage, a spoofed
// handshake or a roll-forward; it wraps.
func (s *Slot) HeldIn() uint32 { return s.heldIn.Load() }
