package wire

import "github.com/ftnet/ftnet/logserver"

// StateSize is the length of a State, in bytes.
const StateSize = 64

// Flags of a State.
const (
	// StateFin tells that the client's FIN is stable, at Stable.
	StateFin = 1 << iota
	// StateRefused tells that the store had no room for data beyond Taken: the
	// server ignores data of the connection up to a Data frame with FlagRetry.
	StateRefused
	// StateReadsRefused tells the same of reads, beyond ReadEnd.
	StateReadsRefused
	// StateOpenRefused tells that the store had no room for the connection:
	// the server ignores Open frames up to one with FlagRetry.
	StateOpenRefused
	// StateGone tells that the connection is not in the log, or not this
	// peer's.
	StateGone

	stateFlags = 1<<iota - 1
)

// State is what the server tells of a connection, whenever there is news: the
// whole of it each time, so that the last one counts.
type State struct {
	ID logserver.ConnID
	// The log holds Start up to Taken, of which what lies below Stable is
	// stable. Start and Out are where the base lies in the two streams. The recorded reads end at ReadEnd. The log would take data up to
	// Limit now, if no other connection took the room.
	Start, Out, Stable, Taken, ReadEnd, Limit int64
	// Meta is the generation of the metadata that is stable, 0 if that is not
	// known.
	Meta  uint32
	Flags uint32
}

// AppendState appends it to the payload of a States frame.
func AppendState(b []byte, s State) []byte {
	b = be.AppendUint64(b, uint64(s.ID))
	b = be.AppendUint64(b, uint64(s.Start))
	b = be.AppendUint64(b, uint64(s.Out))
	b = be.AppendUint64(b, uint64(s.Stable))
	b = be.AppendUint64(b, uint64(s.Taken))
	b = be.AppendUint64(b, uint64(s.ReadEnd))
	b = be.AppendUint64(b, uint64(s.Limit))
	b = be.AppendUint32(b, s.Meta)
	return be.AppendUint32(b, s.Flags)
}

func (c *cursor) state() (s State) {
	s.ID = c.id()
	s.Start, s.Out, s.Stable, s.Taken = c.Offset(), c.Offset(), c.Offset(), c.Offset()
	s.ReadEnd, s.Limit = c.Offset(), c.Offset()
	s.Meta, s.Flags = c.U32(), c.U32()
	if s.Flags&^stateFlags != 0 || s.Start > s.Taken || s.Stable > s.Taken {
		c.Refuse(true)
	}
	return s
}

// ParseStates appends what a States frame tells to list.
func ParseStates(f Frame, list []State) ([]State, error) {
	if len(f.Payload)%StateSize != 0 {
		return list, f.Malformed()
	}
	c := newCursor(f)
	for c.More() {
		list = append(list, c.state())
	}
	if !c.Done() {
		return list, f.Malformed()
	}
	return list, nil
}

// Status is what a Status frame tells: the state of the server's log and what
// it occupies, in bytes.
type Status struct {
	Status      logserver.Status
	Used, Limit int64
}

// AppendStatus appends the frame.
func AppendStatus(b []byte, s Status) []byte {
	b, at := begin(b, TypeStatus, 0)
	b = be.AppendUint32(b, uint32(s.Status))
	b = be.AppendUint32(b, 0)
	b = be.AppendUint64(b, uint64(s.Used))
	return end(be.AppendUint64(b, uint64(s.Limit)), at)
}

// ParseStatus takes the frame apart.
func ParseStatus(f Frame) (s Status, err error) {
	c := newCursor(f)
	s.Status = logserver.Status(c.U32())
	c.zero(4)
	s.Used, s.Limit = c.Offset(), c.Offset()
	if !c.Done() {
		return s, f.Malformed()
	}
	return s, nil
}
