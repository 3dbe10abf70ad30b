package logd

import (
	"encoding/binary"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/internal/wire"
)

// request answers a frame that asks for something. What may wait for the store
// is done beside the reader; there it would hold up the data.
func (x *session) request(f wire.Frame) error {
	if f.Type == wire.TypeCreate {
		return x.createGiven(f)
	}
	r, err := wire.ParseRequest(f)
	if err != nil {
		return err
	}
	switch r.Type {
	case wire.TypeSync:
		x.out.control(wire.AppendDone(nil, r.Req))
		return nil
	case wire.TypeGetBlock:
		return x.getBlock(r)
	case wire.TypeExpire:
		x.expire(r)
		return nil
	}
	select {
	case x.slots <- struct{}{}:
	case <-x.done:
		return nil
	}
	x.workers.Go(func() {
		defer func() { <-x.slots }()
		if err := x.answer(r); err != nil {
			x.out.control(wire.AppendFailure(nil, r.Req, err))
		}
	})
	return nil
}

func (x *session) answer(r wire.Request) error {
	switch r.Type {
	case wire.TypeRead:
		return x.readData(r)
	case wire.TypeGetReads:
		return x.getReads(r)
	case wire.TypeGetMeta:
		return x.getMeta(r)
	default:
		return x.active(r)
	}
}

// chunk is how much data a Bytes frame holds, in bytes.
const chunk = 128 << 10

// readData sends data in chunks, as fast as the peer takes them.
func (x *session) readData(r wire.Request) error {
	if x.find(r.ID) == nil {
		return logserver.ErrNoConn
	}
	if r.First > math.MaxInt64-r.N {
		return logserver.ErrInvalid
	}
	const prefix = wire.HeaderSize + wire.BytesPrefix
	for off, left := r.First, r.N; ; {
		frame := make([]byte, prefix+min(left, chunk))
		n, err := x.srv.store.Read(r.ID, frame[prefix:], off)
		if err != nil {
			return err
		}
		off, left = off+int64(n), left-int64(n)
		var flags uint8
		if n == 0 || left == 0 {
			flags = wire.FlagLast
		}
		wire.AppendBytesHeader(frame[:0], flags, r.Req, n)
		if !x.out.large(frame[:prefix+n]) || flags != 0 {
			return nil
		}
	}
}

func (x *session) getReads(r wire.Request) error {
	if x.find(r.ID) == nil {
		return logserver.ErrNoConn
	}
	runs, err := x.srv.store.Reads(r.ID)
	if err != nil {
		return err
	}
	for {
		n := min(len(runs), wire.MaxRuns)
		var flags uint8
		if n == len(runs) {
			flags = wire.FlagLast
		}
		if !x.out.large(wire.AppendRuns(nil, flags, r.Req, runs[:n])) || flags != 0 {
			return nil
		}
		runs = runs[n:]
	}
}

func (x *session) getMeta(r wire.Request) error {
	c := x.find(r.ID)
	if c == nil {
		return logserver.ErrNoConn
	}
	m, err := x.srv.store.Meta(r.ID)
	if err != nil {
		return err
	}
	answer := metas{x: x, req: r.Req}
	if answer.add(c, m) {
		answer.flush(wire.FlagLast)
	}
	return nil
}

// active takes the connections by number: so those that end meanwhile do not
// shift the others.
func (x *session) active(r wire.Request) error {
	conns := x.srv.table.visible(&x.peer)
	conns = conns[min(r.First, int64(len(conns))):]
	conns = conns[:min(r.N, int64(len(conns)))]
	m := metas{x: x, req: r.Req}
	for _, c := range conns {
		meta, err := x.srv.store.Meta(c.id)
		if err != nil {
			continue // it has ended
		}
		meta.Base.State = nil
		if !m.add(c, meta) {
			return nil
		}
	}
	m.flush(wire.FlagLast)
	return nil
}

// metas gathers connections for Metas frames.
type metas struct {
	x       *session
	req     uint32
	payload []byte
}

// metasSize is about how large a Metas frame is, in bytes.
const metasSize = 64 << 10

// add returns false if the session has ended.
func (m *metas) add(c *conn, meta logserver.Meta) bool {
	if len(m.payload) == 0 {
		m.payload = binary.BigEndian.AppendUint32(nil, m.req)
	}
	_, readEnd := m.x.srv.learnReadEnd(c)
	c.mu.Lock()
	state := wire.State{ID: c.id, Start: c.start, Out: c.out, Stable: c.stable, Taken: c.taken, ReadEnd: readEnd, Meta: c.stableGen, Limit: c.taken}
	if c.fin {
		state.Flags = wire.StateFin
	}
	c.mu.Unlock()
	m.payload = wire.AppendListed(m.payload, &wire.Listed{Meta: meta, State: state})
	return len(m.payload) < metasSize || m.flush(0)
}

func (m *metas) flush(flags uint8) bool {
	if len(m.payload) == 0 {
		m.payload = binary.BigEndian.AppendUint32(nil, m.req)
	}
	frame := wire.Append(nil, wire.TypeMetas, flags, m.payload)
	m.payload = m.payload[:0]
	return m.x.out.large(frame)
}

// expire deletes the peer's connections that are older than it says, but for
// those that somebody else writes.
func (x *session) expire(r wire.Request) {
	before := time.Unix(0, r.Before)
	var ids []logserver.ConnID
	for _, c := range x.srv.table.visible(&x.peer) {
		m, err := x.srv.store.Meta(c.id)
		if err != nil || !m.Modified.Before(before) || !x.writes(c.svc) {
			continue
		}
		x.srv.remove(c)
		c.svc.mu.RUnlock()
		ids = append(ids, c.id)
	}
	x.out.tellStatus()
	for {
		n := min(len(ids), wire.MaxIDs)
		var flags uint8
		if n == len(ids) {
			flags = wire.FlagLast
		}
		x.out.control(wire.AppendIDs(nil, flags, r.Req, ids[:n]))
		if ids = ids[n:]; flags != 0 {
			return
		}
	}
}

// getBlock gives the session another block of numbers.
func (x *session) getBlock(r wire.Request) error {
	k, err := x.srv.blocks.next(&x.peer)
	if err != nil {
		x.out.control(wire.AppendFailure(nil, r.Req, err))
		return nil
	}
	if x.blocks[k.Number] = true; len(x.blocks) > wire.MaxBlocks {
		// The oldest has no new connections any more.
		delete(x.blocks, slices.Min(slices.Collect(maps.Keys(x.blocks))))
	}
	x.out.control(wire.AppendBlock(nil, r.Req, k))
	return nil
}

// createGiven opens a connection under a number that the client did not get
// from the server: another log server's, behind which this one stands. As it
// could take another peer's numbers, only those may that see all of them.
func (x *session) createGiven(f wire.Frame) error {
	o, err := wire.ParseOpen(f)
	if err != nil {
		return err
	}
	req := o.Gen
	switch {
	case !x.peer.all:
		err = wire.ErrDenied
	case !x.srv.blocks.plausible(o.Meta.ID):
		err = logserver.ErrInvalid
	default:
		err = x.create(o)
	}
	if err != nil {
		x.out.control(wire.AppendFailure(nil, req, err))
		return nil
	}
	x.out.control(wire.AppendDone(nil, req))
	return nil
}
