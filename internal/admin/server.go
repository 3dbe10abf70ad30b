package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/internal/control"
)

const (
	// maxConns bounds the clients at a time; others are closed at once.
	maxConns = 64
	// requestTimeout is how long a client may take to say what it wants.
	requestTimeout = 5 * time.Second
	// replyTimeout is how long a client may take to read a message. One that
	// follows a log may take as long as it likes.
	replyTimeout = 10 * time.Second
	// endGrace is how long answers may still go out when the server ends.
	endGrace = time.Second
)

// Handler carries requests out. It is called from several goroutines. ctx ends
// when the client goes away or the server ends; what has been begun need not end
// with it. An error that is no *Error is sent as CodeFailed.
type Handler func(ctx context.Context, r Request, w *Writer) error

// Serve answers clients until ctx ends, closes l, lets the handlers that are
// under way say their last word, and returns after the last one has. The result
// is nil then, else why no client can come any more.
func Serve(ctx context.Context, l *net.UnixListener, h Handler) error {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	defer l.Close()
	slots := make(chan struct{}, maxConns)
	for {
		c, err := l.AcceptUnix()
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return nil
		case control.Temporary(err):
			select {
			case <-ctx.Done():
			case <-time.After(control.AcceptPause): // descriptors come back
			}
			continue
		default:
			return err
		}
		select {
		case slots <- struct{}{}:
		default:
			c.Close()
			continue
		}
		wg.Go(func() {
			defer func() { <-slots }()
			defer c.Close()
			serve(ctx, c, h)
		})
	}
}

// serve answers one client.
func serve(ctx context.Context, c *net.UnixConn, h Handler) {
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(endGrace, func() { c.Close() }) })
	defer stop()
	w := &Writer{c: c, enc: json.NewEncoder(c), timeout: replyTimeout}
	_ = c.SetReadDeadline(time.Now().Add(requestTimeout))
	req, err := readRequest(c)
	if err == nil {
		err = allowed(c)
	}
	if err == nil {
		if req.Follow {
			w.timeout = 0
		}
		ctx, cancel := context.WithCancel(ctx)
		go func() {
			defer cancel()
			_ = c.SetReadDeadline(time.Time{})
			_, _ = c.Read(make([]byte, 1)) // its end; there is nothing more to say
		}()
		err = h(ctx, req, w)
	}
	w.done(err)
}

// allowed checks that the client is root or this process's user.
func allowed(c *net.UnixConn) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var cred *unix.Ucred
	var serr error
	if err := raw.Control(func(fd uintptr) {
		cred, serr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return err
	}
	if serr != nil {
		return serr
	}
	if cred.Uid != 0 && int(cred.Uid) != os.Geteuid() {
		return &Error{Code: CodeDenied, Message: fmt.Sprintf("user %d is not permitted: only root and the daemon's user are", cred.Uid)}
	}
	return nil
}

// Writer sends the messages of one answer. It may be used by one goroutine at a
// time.
type Writer struct {
	c       *net.UnixConn
	enc     *json.Encoder
	timeout time.Duration // of a message; 0: none
}

// Say tells what has been done.
func (w *Writer) Say(text string) error { return w.send(Message{Said: text}) }

// Line sends a line of output.
func (w *Writer) Line(l Line) error { return w.send(Message{Line: &l}) }

// Missed says that so many lines are missing here.
func (w *Writer) Missed(n uint64) error { return w.send(Message{Missed: n}) }

func (w *Writer) done(err error) {
	d := Done{}
	if err != nil && !errors.As(err, &d.Error) {
		d.Error = &Error{Code: CodeFailed, Message: err.Error()}
	}
	_ = w.send(Message{Done: &d}) // if the client has gone, nobody is left to be told
}

func (w *Writer) send(m Message) error {
	if w.timeout > 0 {
		_ = w.c.SetWriteDeadline(time.Now().Add(w.timeout))
	}
	return w.enc.Encode(m)
}
