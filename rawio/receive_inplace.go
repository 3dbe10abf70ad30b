package rawio

import (
	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/rawio/internal/south"
	"github.com/ftnet/ftnet/rawio/internal/tap"
)

// inPlace receives the payload of bulk transfers where the log is to keep it,
// which saves the one copy that misses every cache. It predicts that the next
// packet is like the last ones: of the same connection, in order, and with a header of the same
// length. If that is wrong, the payload is in memory that is not read,
// and the log copies it like any other. The core judges each packet as usual;
// it borrows the memory and commits what is to stay.
type inPlace struct {
	lends    bool // the log lends memory
	one      *tap.Batch
	borrowed bool // by the core, until done
	flow     Flow // of the last large packet
	header   int  // bytes before its payload
	room     int  // bytes that its largest packet takes
	score    int  // how well packets were predicted, 0 to inPlaceMax
}

const (
	// inPlaceMin is the smallest payload, bytes, that counts as large.
	inPlaceMin = 16 << 10
	// inPlaceFrom is how many large packets in a row make a prediction, and
	// inPlaceMax-inPlaceFrom+1 how many others end it.
	inPlaceFrom, inPlaceMax = 2, 4
)

func newInPlace(log logserver.Log) inPlace {
	_, lends := log.(logserver.Lender)
	return inPlace{lends: lends, one: tap.NewBatch(1)}
}

// predicts reports whether one packet should be read with read.
func (p *inPlace) predicts() bool { return p.lends && p.score >= inPlaceFrom }

// read reads one packet. done must be called when it is processed.
func (p *inPlace) read(t packetTap, m *south.Machine) (packets []tap.Packet, err error) {
	memory, ok := m.Borrow(p.flow, p.room)
	if p.borrowed = ok; ok {
		_, err = t.TryReadSplit(p.one, p.header, memory)
	} else {
		_, err = t.TryReadBatch(p.one)
	}
	return p.one.Packets, err
}

func (p *inPlace) done(m *south.Machine) {
	if p.borrowed {
		m.GiveBack()
		p.borrowed = false
	}
}

// learn takes each segment and the length of its headers.
func (p *inPlace) learn(s *segment.Segment, header int) {
	flow := Flow{Client: s.Src, Server: s.Dst}
	switch {
	case len(s.Payload) < inPlaceMin || header > tap.MaxHeader:
		p.score = max(p.score-1, 0)
	case flow != p.flow:
		p.flow, p.header, p.room, p.score = flow, header, roomFor(s), 1
	default:
		p.header, p.room, p.score = header, max(p.room, roomFor(s)), min(p.score+1, inPlaceMax)
	}
}

// roomFor returns the memory to borrow for packets of about this length, bytes. With
// BIG TCP that can be more than the usual packet size.
func roomFor(s *segment.Segment) int {
	return (len(s.Payload) + tap.UsualPacket - 1) / tap.UsualPacket * tap.UsualPacket
}
