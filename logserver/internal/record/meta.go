package record

import (
	"encoding/binary"
	"math"
	"slices"
	"time"

	"github.com/ftnet/ftnet/logserver"
)

// Flags of a meta.
const (
	flagFinished = 1 << iota
	flagClosed
	metaFlags = 1<<iota - 1
)

// AppendMeta writes all of m, which must be valid.
func AppendMeta(b []byte, m *logserver.Meta) []byte {
	b = be.AppendUint64(b, uint64(m.ID))
	b = be.AppendUint64(b, m.Tag)
	b = AppendText(b, m.Service)
	b = AppendEndpoint(b, m.Client)
	b = AppendEndpoint(b, m.Server)
	b = append(append(b, byte(len(m.Handshake))), m.Handshake...)
	var flags byte
	if m.Finished {
		flags |= flagFinished
	}
	if m.Output.Closed {
		flags |= flagClosed
	}
	b = append(b, flags)
	o := &m.Output
	for _, v := range [...]int64{unix(m.Created), unix(m.Modified), o.Acked, o.End, m.Base.In, m.Base.Out} {
		b = binary.AppendVarint(b, v)
	}
	return append(binary.AppendUvarint(b, uint64(len(m.Base.State))), m.Base.State...)
}

func unix(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

// Meta takes what AppendMeta has written.
func (c *Cursor) Meta() (m logserver.Meta) {
	m.ID = logserver.ConnID(c.U64())
	m.Tag = c.U64()
	m.Service = c.Text()
	m.Client, m.Server = c.Endpoint(), c.Endpoint()
	if p := c.Take(int(c.U8())); len(p) > 0 {
		m.Handshake = slices.Clone(p)
	}
	flags := c.U8()
	c.Refuse(flags&^metaFlags != 0)
	m.Finished = flags&flagFinished != 0
	m.Created, m.Modified = c.time(), c.time()
	m.Output = logserver.Output{Acked: c.Varint(), Closed: flags&flagClosed != 0, End: c.Varint()}
	m.Base = logserver.Base{In: c.Varint(), Out: c.Varint()}
	n := c.Uvarint()
	c.Refuse(m.Base.In < 0 || m.Base.Out < 0 || n > logserver.MaxState)
	if p := c.Take(int(min(n, logserver.MaxState))); len(p) > 0 {
		m.Base.State = slices.Clone(p)
	}
	return m
}

func (c *Cursor) time() time.Time {
	if v := c.Varint(); v != 0 {
		return time.Unix(0, v)
	}
	return time.Time{}
}

// MaxRun is the most bytes that a run takes.
const MaxRun = 2 * binary.MaxVarintLen32

// AppendRuns writes the runs one after the other; that there are no more is said elsewhere.
func AppendRuns(b []byte, runs []logserver.ReadRun) []byte {
	for _, r := range runs {
		b = binary.AppendUvarint(b, uint64(r.Length))
		b = binary.AppendUvarint(b, uint64(r.Count))
	}
	return b
}

// Runs takes all that is left, which must be at most that many runs.
func (c *Cursor) Runs(most int) []logserver.ReadRun {
	runs := make([]logserver.ReadRun, 0, min(most, len(c.p)/2))
	for c.More() {
		length, count := c.Uvarint(), c.Uvarint()
		c.Refuse(length-1 >= math.MaxUint32 || count-1 >= math.MaxUint32 || len(runs) == most)
		runs = append(runs, logserver.ReadRun{Length: uint32(length), Count: uint32(count)})
	}
	if c.bad {
		return nil
	}
	return runs
}
