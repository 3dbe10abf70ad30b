package logd

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ftnet/ftnet/logserver/internal/table"
	"github.com/ftnet/ftnet/logserver/internal/wire"
)

var (
	errSuperseded = errors.New("the session goes on over another connection")
	errSilent     = errors.New("the peer is silent")
)

// maxRequests is how many requests of a session may be worked on.
const maxRequests = 32

// readBuffer is how much is read at a time, in bytes.
const readBuffer = 512 << 10

// session is one connection of a peer. Its reader executes in order what
// changes the log; requests that may wait are answered by goroutines of their
// own; its writer tells the news.
type session struct {
	srv     *Server
	peer    identity
	rank    uint32
	conn    net.Conn
	cork    *wire.Cork // nil without TLS
	in      *wire.Reader
	welcome wire.Welcome
	claims  []string
	since   time.Time
	bytes   atomic.Uint64 // of data that it has sent
	silence time.Duration // how long the peer may be silent

	// The reader's alone.
	blocks         map[uint32]bool
	ports          table.Ports
	fenced         map[*service]bool // and told so
	openRefused    bool
	unacknowledged int // bytes of data that were executed since the peer was told something

	out     output
	telling sync.Mutex      // guards the two below
	starved map[*conn]int64 // connections with little room, and the limit that was told
	buf     []byte
	sending sync.Mutex    // held while something is written to conn; taken after telling
	slots   chan struct{} // one for each request that is worked on
	workers sync.WaitGroup

	unstable atomic.Int64  // bytes that the store has taken and not called stable
	drained  chan struct{} // tells that unstable has fallen

	once    sync.Once
	done    chan struct{} // closed by end
	stopped chan struct{} // closed when the reader changes nothing any more
	// valid when done is closed
	why   error
	ended time.Time
}

func (x *session) init() {
	x.starved = map[*conn]int64{}
	x.out.init(x)
}

// end ends the session, once.
func (x *session) end(why error) {
	x.once.Do(func() {
		x.why, x.ended = why, time.Now()
		close(x.done)
		x.out.close()
		x.conn.Close()
	})
}

// serve runs the session until it ends.
func (x *session) serve() error {
	defer x.leave()
	err := x.begin()
	if err == nil {
		x.workers.Go(x.write)
		err = x.read()
	}
	close(x.stopped)
	if code, text := fatal(err); code != 0 {
		x.out.last(wire.AppendError(nil, code, text))
	}
	x.end(err)
	x.workers.Wait()
	if err = x.why; errors.Is(err, io.EOF) || errors.Is(err, errSuperseded) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// fatal returns what to tell a peer that breaks the protocol.
func fatal(err error) (wire.Code, string) {
	if errors.Is(err, wire.ErrMalformed) || errors.Is(err, wire.ErrTooLarge) {
		return wire.CodeProtocol, err.Error()
	}
	return 0, ""
}

func (x *session) leave() {
	s := x.srv
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sessions[x.rank] == x {
		delete(s.sessions, x.rank)
	}
	if s.peers[x.peer.name]--; s.peers[x.peer.name] == 0 {
		delete(s.peers, x.peer.name)
	}
}

// begin claims what the peer asks for and tells it what the log holds.
func (x *session) begin() error {
	x.in.Grow(readBuffer)
	b := wire.AppendWelcome(nil, x.welcome)
	b = x.srv.appendStatus(b)
	for _, name := range x.claims {
		if svc := x.srv.table.service(name); !x.claim(svc) {
			x.fenced[svc] = true
			b = wire.AppendFenced(b, name)
		}
	}
	states := x.srv.table.visible(&x.peer)
	for len(states) > 0 {
		n := min(len(states), statesPerFrame)
		b = wire.AppendHeader(b, wire.TypeStates, 0, n*wire.StateSize)
		for _, c := range states[:n] {
			x.srv.learnReadEnd(c)
			state, _ := x.srv.state(c)
			b = wire.AppendState(b, state)
		}
		if err := x.send(b); err != nil {
			return err
		}
		states, b = states[n:], b[:0]
	}
	return x.send(wire.AppendHeader(b, wire.TypeReady, 0, 0))
}

// read executes what the peer sends.
func (x *session) read() error {
	for {
		if !x.in.Buffered() {
			if err := x.acknowledge(); err != nil {
				return err
			}
			// A peer that is silent is dead.
			if err := x.conn.SetReadDeadline(time.Now().Add(x.silence)); err != nil {
				return err
			}
		}
		f, err := x.in.Next()
		if err, ok := errors.AsType[net.Error](err); ok && err.Timeout() {
			return errSilent
		}
		if err != nil {
			return err
		}
		if f.Type == wire.TypeData {
			x.out.hush()
			x.unacknowledged += len(f.Payload)
		} else {
			x.out.speak()
		}
		if err := x.execute(f); err != nil {
			return err
		}
		if err := x.pause(); err != nil {
			return err
		}
	}
}

// acknowledgeAfter is after how much data the peer is told what has become stable,
// in bytes, however much else it has sent.
const acknowledgeAfter = 256 << 10

// acknowledge tells the peer what has become of its data, if nothing more of it has
// arrived: what a store makes stable at once is answered by the reader, for
// which nobody needs to be woken.
func (x *session) acknowledge() error {
	if x.unacknowledged == 0 || x.unacknowledged < acknowledgeAfter && x.cork != nil && x.cork.Arrived() {
		return nil
	}
	x.unacknowledged = 0
	_, starved, err := x.news()
	x.out.speak()
	if starved {
		x.out.rouse() // the writer sees to them
	}
	return err
}

// pause waits while too much is not stable.
func (x *session) pause() error {
	for x.unstable.Load() > x.srv.cfg.MaxUnstable {
		x.out.speak()
		select {
		case <-x.drained:
		case <-x.done:
			return net.ErrClosed
		}
	}
	return nil
}

// waits counts bytes that wait to be stable, or do no longer.
func (x *session) waits(n int64) {
	if x.unstable.Add(n) <= x.srv.cfg.MaxUnstable && n < 0 {
		select {
		case x.drained <- struct{}{}:
		default:
		}
	}
}

func protocol(f wire.Frame, what string) error { return fmt.Errorf("%w (%s)", f.Malformed(), what) }
