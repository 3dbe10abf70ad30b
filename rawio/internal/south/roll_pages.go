package south

import (
	"errors"

	"github.com/ftnet/ftnet/logserver"
)

// A roll-forward reads ahead in the log, unless the log is immediate: it requests
// pages by Config.Fetch before they are needed, and keeps them until the
// server has acknowledged their bytes.

const (
	// pageSize is the size of a request, bytes.
	pageSize = 8 * feedMax
	// aheadMin and aheadMax bound what one roll-forward keeps, bytes. All together keep at most
	// aheadAll, unless each of them has aheadMin only.
	aheadMin = 2 * feedMax
	aheadMax = 8 * pageSize
	aheadAll = 64 << 20
	// maxFreePages is how many pages wait to be used again.
	maxFreePages = 32
	// fetchRetry is the pause before a request is repeated because the log was unreachable, ns.
	fetchRetry = 50e6
)

// pages is a range of the log that is in memory, or on its way to it.
type pages struct {
	list    []page
	end     int64 // of the last one
	retryAt int64 // time when lost pages are requested again; 0: none is lost
}

type page struct {
	off  int64
	n    int    // bytes
	data []byte // n bytes, nil while it is fetched
	lost bool   // could not be read yet
}

// logged returns bytes from the log at off, n at most. There are none while they
// are being fetched, or if that has failed: then c has been reset.
func (m *Machine) logged(c *Conn, off, n int64) []byte {
	if m.immediate {
		got, err := m.log.Read(c.ID, m.page[:n], off)
		if err != nil || got == 0 {
			m.logUnreadable(c, err)
			return nil
		}
		return m.page[:got]
	}
	for i := range c.extra.roll.pages.list {
		g := &c.extra.roll.pages.list[i]
		if skip := off - g.off; skip < int64(g.n) {
			if g.data == nil {
				return nil
			}
			return g.data[skip:min(skip+n, int64(g.n))]
		}
	}
	return nil
}

func (m *Machine) logUnreadable(c *Conn, err error) {
	why := "it ends too early"
	if err != nil {
		why = err.Error()
	}
	m.reset(c, "the log cannot be read: "+why)
}

// readAhead frees the pages that the server has acknowledged, and requests those that follow.
func (m *Machine) readAhead(c *Conn) {
	if m.immediate {
		return
	}
	r := c.extra.roll
	g := &r.pages
	for len(g.list) > 0 && g.list[0].off+int64(g.list[0].n) <= r.acked {
		m.recyclePage(g.list[0].data)
		g.list = g.list[1:]
	}
	if len(g.list) == 0 {
		g.end = max(g.end, r.acked)
	}
	share := min(max(aheadAll/max(m.rolling, 1), aheadMin), aheadMax)
	stable := min(c.stable, c.received)
	for {
		n := min(stable-g.end, r.acked+int64(share)-g.end, pageSize)
		// No small pages while there is something to feed, unless it is the last one.
		least := int64(feedMin)
		if g.end+n < stable {
			least = min(pageSize, int64(share)/2)
		}
		if n <= 0 || n < least && g.end > r.sent {
			return
		}
		off := g.end
		g.list, g.end = append(g.list, page{off: off, n: int(n)}), off+n
		m.cfg.Fetch(c.slot, c.gen, c.ID, off, int(n))
	}
}

// Fetched takes the result of a Config.Fetch: all bytes, or an error. p may be
// reused when Fetched returns. Results that are no longer needed are ignored.
func (m *Machine) Fetched(slot, gen uint32, off int64, p []byte, err error) {
	m.readClock()
	c := m.BySlot(slot)
	if c == nil || c.gen != gen || c.state != Rolling {
		return
	}
	r := c.extra.roll
	for i := range r.pages.list {
		g := &r.pages.list[i]
		// What was fetched for a roll-forward before this one is the same.
		if g.off != off || g.data != nil || g.lost || err == nil && len(p) != g.n {
			continue
		}
		switch {
		case errors.Is(err, logserver.ErrUnreachable):
			g.lost = true
			r.pages.retryAt = m.now + fetchRetry
			return
		case err != nil:
			m.logUnreadable(c, err)
			return
		}
		g.data = append(m.newPage(), p...)
		m.Stats.Fetched += uint64(len(p))
		m.touch(c)
		return
	}
}

// tickPages requests lost pages again.
func (m *Machine) tickPages(c *Conn) {
	g := &c.extra.roll.pages
	if g.retryAt == 0 || m.now < g.retryAt {
		return
	}
	g.retryAt = 0
	for i := range g.list {
		if p := &g.list[i]; p.lost {
			p.lost = false
			m.cfg.Fetch(c.slot, c.gen, c.ID, p.off, p.n)
		}
	}
}

// starved reports whether a roll-forward waits for the log: for a page, or until
// the client's newest data is stable.
func (m *Machine) starved(c *Conn) bool {
	r := c.extra.roll
	end := min(c.stable, c.received)
	if r.sent < end && r.sent < r.edge {
		for i := range r.pages.list {
			if g := &r.pages.list[i]; r.sent-g.off < int64(g.n) {
				return g.data == nil
			}
		}
	}
	return r.acked >= end && c.behindLog()
}

// dropPages recycles the pages of a roll-forward.
func (m *Machine) dropPages(r *roll) {
	for i := range r.pages.list {
		m.recyclePage(r.pages.list[i].data)
	}
	r.pages = pages{}
}

// newPage returns an empty buffer of pageSize bytes, a recycled one if there is one.
func (m *Machine) newPage() []byte {
	n := len(m.freePages)
	if n == 0 {
		return make([]byte, 0, pageSize)
	}
	p := m.freePages[n-1]
	m.freePages = m.freePages[:n-1]
	return p[:0]
}

// recyclePage keeps a buffer for newPage, if there are not too many.
func (m *Machine) recyclePage(p []byte) {
	if p != nil && len(m.freePages) < maxFreePages {
		m.freePages = append(m.freePages, p)
	}
}
