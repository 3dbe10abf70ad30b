package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// ErrLost is returned when the connection to the engine has ended.
var ErrLost = errors.New("the engine has ended")

// errSuccessor is what a data connection meets where another engine than that
// of the control connection has taken the socket's place.
var errSuccessor = fmt.Errorf("%w: another one is in its place", ErrLost)

const (
	callTimeout = 30 * time.Second // for each listener: arming the gate on many interfaces takes a while
	dialTimeout = 10 * time.Second
	maxData     = 16 // data connections at a time; further reads wait for one
)

// Client is a server process's side. Its methods may be called concurrently.
type Client struct {
	path     string
	instance string // of the engine
	lost     chan struct{}
	bye      atomic.Bool // the engine has ended on purpose

	mu  sync.Mutex // serializes requests on the control connection
	ctl link
	// answers come from a goroutine of their own, so that the engine's end is
	// noticed while nothing is asked.
	answers chan answer
	asked   atomic.Bool   // an answer is due
	owed    time.Duration // guarded by mu: how long one may take that nobody has waited for; 0: none is due

	data   chan struct{} // one element for each read of the log under way
	dataMu sync.Mutex    // guards idle and closed
	idle   []*link
	closed bool
}

type answer struct {
	t    frameType
	body []byte
}

// Dial connects to the engine's socket at path and says hello. The descriptor
// in the answer belongs to the caller.
func Dial(ctx context.Context, path string) (*Client, Welcome, error) {
	return dialControl(ctx, path, Hello{}, -1)
}

// dialControl is Dial with a word to say, and a descriptor to send along if it
// is not -1.
func dialControl(ctx context.Context, path string, h Hello, fd int) (*Client, Welcome, error) {
	l, err := dial(ctx, path)
	if err != nil {
		return nil, Welcome{}, err
	}
	w, err := hello(l, h, fd)
	if err != nil {
		l.c.Close()
		return nil, Welcome{}, err
	}
	c := &Client{path: path, instance: w.Instance, lost: make(chan struct{}), ctl: link{c: l.c},
		answers: make(chan answer, 1), data: make(chan struct{}, maxData)}
	go c.receive(l)
	return c, w, nil
}

func dial(ctx context.Context, path string) (*link, error) {
	d := net.Dialer{Timeout: dialTimeout}
	c, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	return &link{c: c.(*net.UnixConn)}, nil
}

func hello(l *link, h Hello, send int) (w Welcome, err error) {
	w.FD = -1
	h.Version, h.PID = Version, os.Getpid()
	text, err := json.Marshal(h)
	if err != nil {
		return w, err
	}
	// An engine that refuses this user may have said so and closed already.
	werr := l.writeFD(typeHello, text, send)
	t, body, fd, err := l.readFD(helloTimeout)
	if err != nil {
		return w, errors.Join(werr, err)
	}
	if t == typeBye {
		return w, &Error{CodeRefused, "the engine is ending"}
	}
	if err = result(t, body, typeWelcome, &w); err == nil {
		w.FD = fd
		if h.Data == (fd < 0) || h.Resume {
			return w, nil
		}
		err = fmt.Errorf("%w: welcome without a journal", errFrame)
	}
	if fd >= 0 {
		closeFD(fd)
	}
	return Welcome{FD: -1}, err
}

// receive passes answers on until the connection ends.
func (c *Client) receive(l *link) {
	defer close(c.lost)
	defer l.c.Close()
	for {
		t, body, err := l.read(0)
		if err != nil {
			return
		}
		if t == typeBye {
			c.bye.Store(true)
			return
		}
		if !c.asked.CompareAndSwap(true, false) {
			return // an answer that nobody asked for
		}
		c.answers <- answer{t, append([]byte(nil), body...)} // has room for one
	}
}

// Lost is closed when the control connection has ended, and with it the engine.
func (c *Client) Lost() <-chan struct{} { return c.lost }

// Ended reports, once Lost is closed, whether the engine announced its end or the
// service's. If not, the engine was killed, or one of the two ends closed the connection
// because of an error.
func (c *Client) Ended() bool { return c.bye.Load() }

// Close ends all connections. For the engine the process has then ended.
func (c *Client) Close() error {
	err := c.ctl.c.Close()
	c.dataMu.Lock()
	c.closed = true
	for _, l := range c.idle {
		l.c.Close()
	}
	c.idle = nil
	c.dataMu.Unlock()
	<-c.lost
	return err
}

// Announce tells what listeners the process has, and waits until the gate is armed for them.
func (c *Client) Announce(ctx context.Context, m Announcement) (r Announced, err error) {
	err = c.call(ctx, typeAnnounce, callTimeout*time.Duration(1+len(m.Listeners)), m, &r)
	return r, err
}

// Former asks for the port that a listener before had for the address that is asked
// for; 0: none.
func (c *Client) Former(ctx context.Context, m Protect) (port uint16, err error) {
	var r Former
	err = c.call(ctx, typeFormer, callTimeout, m, &r)
	return r.Port, err
}

// Mismatch reports a connection whose replay went wrong.
func (c *Client) Mismatch(ctx context.Context, m Mismatch) error {
	return c.call(ctx, typeMismatch, callTimeout, m, &struct{}{})
}

// call sends a request and waits for its answer. An answer that does not come
// in time ends the connection. That of a caller whose context has ended is waited for
// before the next request.
func (c *Client) call(ctx context.Context, t frameType, timeout time.Duration, m, reply any) error {
	body, err := json.Marshal(m)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if c.owed > 0 {
		if _, err := c.answer(ctx, c.owed); err != nil {
			return err
		}
	}
	c.asked.Store(true)
	if err := c.ctl.write(t, body); err != nil {
		// The engine's last word may still be on its way to receive.
		late := time.AfterFunc(byeTimeout, func() { c.ctl.c.Close() })
		defer late.Stop()
		<-c.lost
		return fmt.Errorf("%w: %v", ErrLost, err)
	}
	a, err := c.answer(ctx, timeout)
	if err != nil {
		return err
	}
	return result(a.t, a.body, typeOK, reply)
}

// answer waits for the answer that is due. c.mu is held.
func (c *Client) answer(ctx context.Context, timeout time.Duration) (answer, error) {
	c.owed = timeout
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case a := <-c.answers:
		c.owed = 0
		return a, nil
	case <-c.lost:
		select {
		case a := <-c.answers: // the engine's last word
			return a, nil
		default:
			return answer{}, ErrLost
		}
	case <-ctx.Done():
		return answer{}, ctx.Err()
	case <-timer.C:
		c.ctl.c.Close()
		return answer{}, os.ErrDeadlineExceeded
	}
}

func result(t frameType, body []byte, want frameType, v any) error {
	switch t {
	case want:
		return parseJSON(body, v)
	case typeError:
		e := new(Error)
		if err := parseJSON(body, e); err != nil {
			return err
		}
		return e
	}
	return fmt.Errorf("%w: answer of type %d", errFrame, t)
}
