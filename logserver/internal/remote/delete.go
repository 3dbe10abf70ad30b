package remote

import (
	"github.com/ftnet/ftnet/logserver"
)

// Delete implements logserver.Log. A fenced connection is forgotten here only.
func (l *Log) Delete(id logserver.ConnID) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	c, err := l.find(id)
	if err != nil {
		return err
	}
	l.forget(c)
	if c.opened && !l.fenced(c.meta.Service) {
		l.queueConn(c)
	}
	return nil
}

// forget drops a connection. l.mu is held.
func (l *Log) forget(c *conn) {
	delete(l.conns, c.id)
	if !l.own[uint32(c.id>>32)] {
		l.deleted[c.id] = true
	}
	c.deleted = true
	l.release(c, c.taken)
	l.runs -= int64(c.unrecorded())
	c.reads = nil
}

// unrecorded is how many runs of reads the server has not recorded.
func (c *conn) unrecorded() (n int) {
	for i := len(c.reads) - 1; i >= 0 && c.reads[i].end() > c.readsEnd; i-- {
		n++
	}
	return n
}

// release gives up data that is stable, or not needed any more. l.mu is held.
func (l *Log) release(c *conn, stable int64) {
	if stable <= c.stable {
		return
	}
	l.buffered -= stable - c.stable
	c.stable = stable
	c.data.drop(stable, l.give)
}

// give gives up a chunk that is in no buffer any more. l.mu is held.
func (l *Log) give(k *chunk) {
	switch {
	case k.lent:
		k.loose = true
	case l.sending:
		l.retired = append(l.retired, k)
	case !l.spare.put(k):
		k.free()
	}
}
