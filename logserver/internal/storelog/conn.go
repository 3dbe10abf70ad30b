package storelog

import (
	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/internal/store"
	"github.com/ftnet/ftnet/logserver/internal/table"
)

const (
	// connCost is what a connection is charged for, in bytes: its State record
	// and the deletion that will follow.
	connCost = 320
	// recordCost is what a record of data or reads costs besides its payload.
	recordCost = store.RecordCost
	runCost    = 8 // bytes of a ReadRun
)

// extent is a stable record of a connection's data. Those of a connection
// follow each other without gaps.
type extent struct {
	off int64
	seg uint32
	pos uint32
	n   uint32
}

func (e extent) end() int64 { return e.off + int64(e.n) }

// readExtent is a stable record of reads, which go from one offset to another.
type readExtent struct {
	from, to int64
	seg      uint32
	pos      uint32
	n        uint32 // length of the payload
}

// conn is a connection. Log.mu guards it. There may be very many idle ones.
type conn struct {
	id     logserver.ConnID
	number uint64
	info   table.Info

	start  int64 // of the data: the base's In
	taken  int64 // the end of what was taken
	stable int64 // the end of what is stable
	fin    int64 // where the client's FIN stands; -1 if there was none

	// extents hold the stable data. The first skip of them lie below the start,
	// but the record that says so is not stable yet.
	extents []extent
	skip    int
	reads   *table.Reads
	readExt []readExtent
	raw     int64 // what the connection is charged for

	// state is the latest stable State record, begun the segment of the first
	// record of the connection; 0 if there is none.
	stateSeg, statePos, stateSize uint32
	begun                         uint32
	stateStart                    int64 // start as the stable State has it
	finStable                     bool  // the stable State has the FIN

	queued *queued // what waits to be written; nil if nothing does

	gone     bool  // deleted
	placed   int32 // records of it in bodies that the writer has not taken yet
	inFlight int32 // items of it that the writer has
	news     news  // for the next upcall
}

// news says what the next upcall about a connection is to tell.
type news uint8

const (
	newsData news = 1 << iota
	newsMeta
	newsFin
	newsListed // the connection is in the list of those that have news
	toldFin
)

// meta returns what is recorded about the connection. Its base's state must not be changed.
func (c *conn) meta() logserver.Meta {
	m := c.info.Meta(c.id, c.fin >= 0)
	m.Base = c.info.Base(c.start)
	return m
}

// appendState adds the payload of a State record.
func (c *conn) appendState(b []byte) []byte {
	s := connState{Meta: c.meta(), Number: c.number, Fin: c.fin}
	if c.reads != nil {
		s.ReadsFrom = c.reads.From
	}
	return s.append(b)
}
