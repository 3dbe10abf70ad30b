package remote

import (
	"errors"

	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/internal/wire"
)

// create opens a connection under the caller's number, of which only the server
// knows whether it was used. l.mu is held, and given up.
func (l *Log) create(m logserver.Meta) error {
	c := l.newConn(m)
	c.creating = true
	r := l.numbered(func(req uint32) []byte {
		c.gen = req
		return wire.AppendOpen(nil, wire.TypeCreate, 0, req, &m)
	})
	r.creates = m.ID
	c.opened, c.sentGen = true, c.gen
	l.submit(r)
	l.mu.Unlock()
	err := l.await(r, l.cfg.Timeout)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		c.creating = false
		return nil
	}
	if l.conns[m.ID] == c {
		l.forget(c)
		if errIsAnswer(err) {
			delete(l.deleted, m.ID)
		} else {
			l.queueConn(c) // it may have been opened
		}
	}
	return err
}

// blockRequest asks for another block of numbers. l.mu is held.
func (l *Log) blockRequest() *request {
	r := l.numbered(func(req uint32) []byte {
		return wire.AppendRequest(nil, wire.Request{Type: wire.TypeGetBlock, Req: req})
	})
	r.take = func(f wire.Frame) error {
		_, k, err := wire.ParseBlock(f)
		if err != nil || f.Type != wire.TypeBlock {
			return f.Malformed()
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.getBlock = false; len(l.blocks) == wire.MaxBlocks {
			l.blocks = append(l.blocks[:1], l.blocks[2:]...) // the first one is the session's name
		}
		l.blocks = append(l.blocks, k)
		l.own[k.Number], l.next = true, 0
		return nil
	}
	return r
}

// errIsAnswer reports whether an error is what the server said.
func errIsAnswer(err error) bool {
	return !errors.Is(err, logserver.ErrClosed) && !errors.Is(err, logserver.ErrUnreachable)
}
