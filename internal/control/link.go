package control

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net"
	"time"
)

const (
	helloTimeout = 5 * time.Second  // from connecting to a whole Hello
	frameTimeout = 10 * time.Second // for the rest of a frame that has begun, and to send one
)

// link frames one connection. It is used by one goroutine at a time.
type link struct {
	c   *net.UnixConn
	in  []byte
	out []byte
}

// read returns the next frame; the body is valid until the next read. It waits
// without limit for a frame to begin if wait is 0.
func (l *link) read(wait time.Duration) (frameType, []byte, error) {
	if err := l.deadline(l.c.SetReadDeadline, wait); err != nil {
		return 0, nil, err
	}
	var h [headerSize]byte
	if _, err := io.ReadFull(l.c, h[:1]); err != nil {
		return 0, nil, err
	}
	if wait == 0 {
		if err := l.deadline(l.c.SetReadDeadline, frameTimeout); err != nil {
			return 0, nil, err
		}
	}
	if _, err := io.ReadFull(l.c, h[1:]); err != nil {
		return 0, nil, err
	}
	return l.rest(h)
}

func (l *link) rest(h [headerSize]byte) (frameType, []byte, error) {
	t, size, err := parseHeader(h)
	if err != nil {
		return 0, nil, err
	}
	l.in, err = readBody(l.c, l.in, size)
	return t, l.in, err
}

func (l *link) deadline(set func(time.Time) error, wait time.Duration) error {
	if wait == 0 {
		return set(time.Time{})
	}
	return set(time.Now().Add(wait))
}

func (l *link) write(t frameType, body []byte) error { return l.writeFD(t, body, -1) }

func (l *link) writeJSON(t frameType, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return l.write(t, b)
}

// writeFD sends a frame and with its first byte a descriptor, if fd is not -1.
func (l *link) writeFD(t frameType, body []byte, fd int) error {
	if len(body) > limit(t) {
		return errFrame
	}
	if err := l.deadline(l.c.SetWriteDeadline, frameTimeout); err != nil {
		return err
	}
	l.out = appendFrame(l.out[:0], t, body)
	if fd < 0 {
		_, err := l.c.Write(l.out)
		return err
	}
	oob, err := rights(fd)
	if err != nil {
		return err
	}
	n, _, err := l.c.WriteMsgUnix(l.out, oob, nil)
	if err == nil && n < len(l.out) {
		_, err = l.c.Write(l.out[n:])
	}
	return err
}

// readFD reads the next frame and the descriptor that came with it, -1 if none.
func (l *link) readFD(wait time.Duration) (frameType, []byte, int, error) {
	if err := l.deadline(l.c.SetReadDeadline, wait); err != nil {
		return 0, nil, -1, err
	}
	buf, oob := make([]byte, 4096), make([]byte, 128)
	n, oobn, _, _, err := l.c.ReadMsgUnix(buf, oob)
	if err == nil && n == 0 {
		err = io.EOF
	}
	if err != nil {
		return 0, nil, -1, err
	}
	fd, err := parseRights(oob[:oobn])
	if err != nil {
		return 0, nil, -1, err
	}
	fail := func(err error) (frameType, []byte, int, error) {
		if fd >= 0 {
			closeFD(fd)
		}
		return 0, nil, -1, err
	}
	r := io.MultiReader(bytes.NewReader(buf[:n]), l.c)
	var h [headerSize]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return fail(err)
	}
	t, size, err := parseHeader(h)
	if err != nil {
		return fail(err)
	}
	if n > headerSize+size { // nothing may follow an answer
		return fail(errFrame)
	}
	body, err := readBody(r, nil, size)
	if err != nil {
		return fail(err)
	}
	return t, body, fd, nil
}

// isTimeout is for errors of deadlines, whatever wraps them.
func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}
