package ftnet

import (
	"io"
	"os"

	"github.com/ftnet/ftnet/internal/journal"
)

type (
	readerOnly struct{ io.Reader }
	writerOnly struct{ io.Writer }
)

// sendChunk is how much sendfile sends before the record is brought up to
// date, in bytes.
const sendChunk = 1 << 20

// ReadFrom writes what r has to the connection. From a regular file it uses
// sendfile, if the connection is compared by length: the bytes cannot be
// compared if the process does not see them.
func (c *Conn) ReadFrom(r io.Reader) (int64, error) {
	if c.rec == nil {
		return c.tcp.ReadFrom(r)
	}
	total := int64(0)
	if f, limit := regularFile(r); f != nil {
		n, whole, err := c.sendFile(f, limit, r)
		if whole || err != nil {
			return n, err
		}
		total = n
	}
	n, err := io.Copy(writerOnly{c}, r)
	return total + n, err
}

// WriteTo writes to w what is read from the connection, until its end.
func (c *Conn) WriteTo(w io.Writer) (int64, error) {
	if c.rec == nil {
		return c.tcp.WriteTo(w)
	}
	return io.Copy(w, readerOnly{c})
}

// regularFile returns the file behind r and how much of it is meant.
func regularFile(r io.Reader) (*os.File, int64) {
	limit := int64(1<<63 - 1)
	if lr, ok := r.(*io.LimitedReader); ok {
		r, limit = lr.R, lr.N
	}
	f, ok := r.(*os.File)
	if !ok {
		return nil, 0
	}
	if fi, err := f.Stat(); err != nil || !fi.Mode().IsRegular() {
		return nil, 0
	}
	return f, limit
}

// sendFile sends up to limit bytes of f, which r reads, by sendfile. whole is
// false if the rest must be copied instead.
func (c *Conn) sendFile(f *os.File, limit int64, r io.Reader) (total int64, whole bool, err error) {
	for limit > 0 {
		n, ok, err := c.sendPart(f, min(limit, sendChunk))
		total += n
		limit -= n
		if lr, isLimited := r.(*io.LimitedReader); isLimited {
			lr.N -= n
		}
		if err != nil || !ok {
			return total, false, err
		}
		if n == 0 {
			break
		}
	}
	return total, true, nil
}

func (c *Conn) sendPart(f *os.File, size int64) (n int64, ok bool, err error) {
	c.writeMu.Lock()
	defer c.writeMu.Unlock()
	if c.released || c.rewriting() || c.rec.Compare() != CompareLength || c.usable("write", &c.writeDeadline) != nil {
		return 0, false, nil
	}
	was := c.writeDeadline.at.Load()
	c.rec.IntendLength(size)
	n, err = c.via.SendFile(f, size)
	c.rec.RollbackLength(n)
	if err != nil {
		c.timedOut(journal.WriteTimeout, &c.writeDeadline, was, err)
	}
	return n, true, err
}
