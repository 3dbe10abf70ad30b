package output

import (
	"errors"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// partialAfter is how long the end of a line is waited for: a prompt or a row
// of progress dots shows up without its newline.
const partialAfter = 200 * time.Millisecond

// readSize is what is read from a pipe at once: as much as it usually holds.
const readSize = 64 << 10

// maxRest bounds what is read from a pipe that is given up, should somebody go
// on writing to it: the most that an unprivileged process makes a pipe hold.
const maxRest = 1 << 20

// reader makes lines of what comes through one pipe.
type reader struct {
	pipe    *os.File
	closing atomic.Bool
}

// stop makes run take what is in the pipe and return. A process that outlives
// the service may keep the pipe open, so its end need not come.
func (r *reader) stop() error {
	r.closing.Store(true)
	return r.pipe.SetReadDeadline(time.Unix(1, 0))
}

// run reads until the end of the pipe or stop.
func (r *reader) run(stream Stream, log *Log) {
	lines := 0
	s := splitter{emit: func(text []byte, partial bool) {
		lines++
		log.Append(Line{Time: time.Now(), Stream: stream, Text: string(text), Partial: partial})
	}}
	defer s.flush()
	buf := make([]byte, readSize)
	for before := 0; ; before = lines {
		had := len(s.rest) > 0
		n, err := r.pipe.Read(buf)
		s.write(buf[:n])
		late := errors.Is(err, os.ErrDeadlineExceeded)
		if err != nil && !late {
			return
		}
		if late && !r.closing.Load() {
			s.flush()
		}
		// The time runs from a line's first byte.
		switch {
		case len(s.rest) == 0:
			_ = r.pipe.SetReadDeadline(time.Time{})
		case !had || lines > before:
			_ = r.pipe.SetReadDeadline(time.Now().Add(partialAfter))
		}
		// Now, because stop's deadline may just have been overwritten.
		if r.closing.Load() {
			r.drain(buf, &s)
			return
		}
	}
}

// drain takes what is in the pipe without waiting for more.
func (r *reader) drain(buf []byte, s *splitter) {
	_ = r.pipe.SetReadDeadline(time.Time{})
	raw, err := r.pipe.SyscallConn()
	if err != nil {
		return
	}
	for total := 0; total < maxRest; {
		var n int
		err := raw.Read(func(fd uintptr) bool {
			n, _ = unix.Read(int(fd), buf)
			return true // whatever it was: no waiting
		})
		if err != nil || n <= 0 {
			return
		}
		s.write(buf[:n])
		total += n
	}
}
