package remote

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"time"

	"github.com/ftnet/ftnet/internal/priority"
	"github.com/ftnet/ftnet/logserver/internal/wire"
)

// link is one connection to the server.
type link struct {
	conn    net.Conn
	cork    *wire.Cork // nil without TLS
	in      *wire.Reader
	silence time.Duration // how long the server may be silent
	done    chan struct{} // closed when it ends
}

// readBuffer is how much is read at a time, in bytes.
const readBuffer = 256 << 10

// keepLinked connects again and again until the log is closed.
func (l *Log) keepLinked() {
	defer close(l.stopped)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		select {
		case <-l.done:
			cancel()
		case <-ctx.Done():
		}
	}()
	backoff, warned := l.cfg.MinBackoff, ""
	for {
		linked, err := l.once(ctx)
		if ctx.Err() != nil {
			return
		}
		if linked {
			backoff, warned = l.cfg.MinBackoff, ""
		}
		if text := fmt.Sprint(err); text != warned {
			l.cfg.Warn("the log server cannot be reached", "address", l.cfg.Address, "error", err)
			warned = text
		}
		pause := backoff/2 + rand.N(backoff+1)
		backoff = min(2*backoff, l.cfg.MaxBackoff)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
	}
}

// once connects, and serves the link until it ends. linked tells that it was
// one.
func (l *Log) once(ctx context.Context) (linked bool, err error) {
	k, welcome, states, err := l.connect(ctx)
	if err != nil {
		return false, err
	}
	stop := context.AfterFunc(ctx, func() { k.conn.Close() })
	defer stop()
	lost := l.resume(k, welcome, states)
	written := make(chan error, 1)
	go func() {
		_ = priority.Raise() // what clients wait for passes through here
		err := l.write(k)
		k.conn.Close() // ends the reader
		written <- err
	}()
	err = l.receive(k, states, lost)
	close(k.done)
	k.conn.Close()
	if werr := <-written; werr != nil && (err == nil || errors.Is(err, net.ErrClosed)) {
		err = werr
	}
	l.mu.Lock()
	l.link = nil
	l.spare.wipe()
	l.mu.Unlock()
	if ctx.Err() == nil {
		l.announce(0)
	}
	return true, err
}

// connect makes a link and learns what the server holds.
func (l *Log) connect(ctx context.Context) (k *link, w wire.Welcome, states []wire.State, err error) {
	dialing, cancel := context.WithTimeout(ctx, l.cfg.DialTimeout)
	defer cancel()
	conn, err := l.cfg.Dial(dialing)
	if err != nil {
		return nil, w, nil, err
	}
	defer func() {
		if err != nil {
			conn.Close()
		}
	}()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	_ = conn.SetDeadline(time.Now().Add(l.cfg.DialTimeout))
	k = &link{conn: conn, silence: l.cfg.DialTimeout, done: make(chan struct{})}
	if l.tls != nil {
		k.cork = wire.NewCork(conn)
		secured := tls.Client(k.cork, l.tls)
		if err := secured.HandshakeContext(dialing); err != nil {
			return nil, w, nil, fmt.Errorf("TLS: %w", err)
		}
		k.conn = secured
	}
	k.in = wire.NewReader(k.conn)
	k.in.Grow(readBuffer)
	l.mu.Lock()
	hello := wire.Hello{Min: wire.Version, Max: wire.Version, Silence: l.cfg.Silence, Blocks: l.blocks, Services: l.cfg.Services}
	b := wire.AppendHello(nil, hello)
	l.mu.Unlock()
	if _, err := k.conn.Write(b); err != nil {
		return nil, w, nil, err
	}
	f, err := k.next()
	if err != nil {
		return nil, w, nil, fmt.Errorf("no answer to the greeting: %w", err)
	}
	if w, err = wire.ParseWelcome(f); err != nil {
		return nil, w, nil, err
	}
	if w.Silence > 0 {
		k.silence = w.Silence
	}
	_ = conn.SetDeadline(time.Time{})
	for {
		f, err := k.next()
		if err != nil {
			return nil, w, nil, err
		}
		switch f.Type {
		case wire.TypeStates:
			states, err = wire.ParseStates(f, states)
		case wire.TypeReady:
			return k, w, states, nil
		default:
			err = l.notice(f)
		}
		if err != nil {
			return nil, w, nil, err
		}
	}
}

var errSilent = errors.New("the log server is silent")

// next returns the server's next frame. Error frames are errors.
func (k *link) next() (wire.Frame, error) {
	if !k.in.Buffered() {
		if err := k.conn.SetReadDeadline(time.Now().Add(k.silence)); err != nil {
			return wire.Frame{}, err
		}
	}
	f, err := k.in.Next()
	if err, ok := errors.AsType[net.Error](err); ok && err.Timeout() {
		return f, errSilent
	}
	if err == nil && f.Type == wire.TypeError {
		said, err := wire.ParseError(f)
		if err != nil {
			return f, err
		}
		return f, said
	}
	return f, err
}
