package control

import (
	"encoding/json"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

const (
	helloTimeout = 5 * time.Second  // from connecting to a whole Hello
	frameTimeout = 10 * time.Second // for the rest of a frame that has begun, and to send one
)

// link frames one connection. It is read by one goroutine at a time.
type link struct {
	c  *net.UnixConn
	in []byte

	mu  sync.Mutex // held while a frame is written; guards out
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
	l.mu.Lock()
	defer l.mu.Unlock()
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

// readFD reads the next frame and the descriptor that came with its first
// byte, -1 if none. The body is valid until the next read.
func (l *link) readFD(wait time.Duration) (t frameType, body []byte, fd int, err error) {
	if err := l.deadline(l.c.SetReadDeadline, wait); err != nil {
		return 0, nil, -1, err
	}
	var h [headerSize]byte
	oob := make([]byte, 128)
	n, oobn, _, _, err := l.c.ReadMsgUnix(h[:], oob)
	if err == nil && n == 0 {
		err = io.EOF
	}
	if err != nil {
		return 0, nil, -1, err
	}
	if fd, err = parseRights(oob[:oobn]); err != nil {
		return 0, nil, -1, err
	}
	if _, err = io.ReadFull(l.c, h[n:]); err == nil {
		t, body, err = l.rest(h)
	}
	if err != nil {
		if fd >= 0 {
			closeFD(fd)
		}
		return 0, nil, -1, err
	}
	return t, body, fd, nil
}

// isTimeout is for errors of deadlines, whatever wraps them.
func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}
