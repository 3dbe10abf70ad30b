package rawio

import (
	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/rawio/internal/tap"
	"github.com/ftnet/ftnet/rawio/south"
)

// landing receives the payload of bulk transfers where the log is to keep it,
// which saves the one copy that misses every cache. It predicts: the next
// packet is like the last ones, of the same connection, in order, and with as
// long a header. Where it errs the payload lies in memory that nobody reads,
// and the log copies it from there like from anywhere else. What arrives is
// judged by the core, which borrows the memory and commits what is to stay.
type landing struct {
	lends    bool // the log does
	one      *tap.Batch
	borrowed bool // by the core, until done
	flow     Flow // of the last large packet
	header   int  // bytes before its payload
	room     int  // bytes that its largest packet takes
	score    int  // how well the prediction has been, 0 to landMax
}

const (
	// landMin is the payload in bytes that is worth it.
	landMin = 16 << 10
	// landFrom is how many large packets in a row make a prediction, and
	// landMax-landFrom+1 how many others end it.
	landFrom, landMax = 2, 4
)

func newLanding(log logserver.Log) landing {
	_, lends := log.(logserver.Lender)
	return landing{lends: lends, one: tap.NewBatch(1)}
}

// predicts reports whether one packet should be read with read.
func (l *landing) predicts() bool { return l.lends && l.score >= landFrom }

// read takes one packet. done must be called when it is dealt with.
func (l *landing) read(t packetTap, m *south.Machine) (packets []tap.Packet, err error) {
	memory, ok := m.Borrow(l.flow, l.room)
	if l.borrowed = ok; ok {
		_, err = t.TryReadSplit(l.one, l.header, memory)
	} else {
		_, err = t.TryReadBatch(l.one)
	}
	return l.one.Packets, err
}

func (l *landing) done(m *south.Machine) {
	if l.borrowed {
		m.GiveBack()
		l.borrowed = false
	}
}

// learn is told each segment and the length of its headers.
func (l *landing) learn(s *segment.Segment, header int) {
	flow := Flow{Client: s.Src, Server: s.Dst}
	switch {
	case len(s.Payload) < landMin || header > tap.MaxHeader:
		l.score = max(l.score-1, 0)
	case flow != l.flow:
		l.flow, l.header, l.room, l.score = flow, header, roomFor(s), 1
	default:
		l.header, l.room, l.score = header, max(l.room, roomFor(s)), min(l.score+1, landMax)
	}
}

// roomFor is what a packet takes that is about as long as this one, bytes. With
// BIG TCP that can be more than what is usual.
func roomFor(s *segment.Segment) int {
	return (len(s.Payload) + tap.UsualPacket - 1) / tap.UsualPacket * tap.UsualPacket
}
