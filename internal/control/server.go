package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// Credentials are a peer's as the kernel knows them. PID is 0 if the peer
// lives in another process namespace.
type Credentials struct {
	PID      int
	UID, GID uint32
}

// Peer is a server process, that is, one control connection.
type Peer struct {
	ID    uint64 // counts from 1, never reused
	Cred  Credentials
	Hello Hello
}

// Handler is the engine's side. Calls for one peer's control connection come
// one after another, Hello first and Gone last; ReadLog comes from other
// goroutines as well, also before Hello and after Gone. An error is sent to the
// peer as it is if it is an *Error, else as refused.
type Handler interface {
	// Hello admits a process. Welcome.FD is sent along and stays the handler's.
	Hello(p *Peer) (Welcome, error)
	Protect(p *Peer, m Protect) error
	// Listening returns when the gate is armed.
	Listening(p *Peer, m Listening) (ListeningReply, error)
	Closed(p *Peer, m Closed) error
	// Mismatch returns when the connection counts as lost.
	Mismatch(p *Peer, m Mismatch) error
	// ReadLog fills buf, len(buf) == r.N, and returns how much the log had.
	ReadLog(r ReadLog, buf []byte) (int, error)
	// Gone says that the control connection has ended: nil if the process
	// closed it or died, else why the server gave it up. Hello had succeeded.
	Gone(p *Peer, err error)
}

// Server accepts server processes.
type Server struct {
	// Handler answers. Required.
	Handler Handler
	// Allow judges a peer by its credentials; nil allows this process's own
	// user and root.
	Allow func(Credentials) bool
	// MaxConns bounds the connections served at once, each with at most
	// about 2 MiB of memory. Default 256; others are closed at once.
	MaxConns int

	mu     sync.Mutex // guards what follows
	nextID uint64
	conns  map[*net.UnixConn]struct{}
	closed bool
	wg     sync.WaitGroup
}

// Serve answers with h on ln until ctx ends, and returns nil then, or the error
// that ended it. It closes ln and all connections, and returns after the last
// call of h.
func Serve(ctx context.Context, ln *net.UnixListener, h Handler) error {
	s := &Server{Handler: h}
	return s.Serve(ctx, ln)
}

// Serve is like the function of the same name. It may be called once.
func (s *Server) Serve(ctx context.Context, ln *net.UnixListener) error {
	if s.MaxConns <= 0 {
		s.MaxConns = 256
	}
	if s.Allow == nil {
		s.Allow = allowSelf
	}
	s.conns = map[*net.UnixConn]struct{}{}
	stop := context.AfterFunc(ctx, func() {
		ln.Close()
		s.closeAll()
	})
	defer stop()
	defer s.wg.Wait()
	defer s.closeAll()
	defer ln.Close()
	for {
		c, err := ln.AcceptUnix()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			if isTemporary(err) {
				select {
				case <-ctx.Done():
				case <-time.After(10 * time.Millisecond): // descriptors come back
				}
				continue
			}
			return err
		}
		if !s.add(c) {
			c.Close()
			continue
		}
		go func() {
			defer s.wg.Done()
			defer s.remove(c)
			s.serveConn(&link{c: c})
		}()
	}
}

func (s *Server) add(c *net.UnixConn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(s.conns) >= s.MaxConns {
		return false
	}
	s.conns[c] = struct{}{}
	s.wg.Add(1)
	return true
}

func (s *Server) remove(c *net.UnixConn) {
	c.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}

func (s *Server) closeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for c := range s.conns {
		c.Close()
	}
}

// serveConn admits a connection and answers on it until it ends.
func (s *Server) serveConn(l *link) {
	cred, err := credentials(l.c)
	if err != nil || !s.Allow(cred) {
		l.writeJSON(typeError, Error{CodeRefused, "the engine serves another user"})
		return
	}
	t, body, err := l.read(helloTimeout)
	if err != nil {
		return
	}
	p := &Peer{Cred: cred}
	if t != typeHello || parseJSON(body, &p.Hello) != nil {
		l.writeJSON(typeError, Error{CodeRefused, "the first message is not hello"})
		return
	}
	if p.Hello.Version != Version {
		l.writeJSON(typeError, Error{CodeVersion,
			fmt.Sprintf("the engine speaks version %d, the server %d: build both from one release", Version, p.Hello.Version)})
		return
	}
	if p.Hello.Data {
		if l.writeJSON(typeWelcome, Welcome{Version: Version}) == nil {
			s.serveData(l)
		}
		return
	}
	s.mu.Lock()
	s.nextID++
	p.ID = s.nextID
	s.mu.Unlock()
	w, err := s.Handler.Hello(p)
	if err != nil {
		l.writeJSON(typeError, asError(err))
		return
	}
	w.Version = Version
	err = s.welcome(l, w)
	if err == nil {
		err = s.serveControl(l, p)
	}
	s.Handler.Gone(p, err)
}

func (s *Server) welcome(l *link, w Welcome) error {
	b, err := json.Marshal(w)
	if err != nil {
		return err
	}
	return l.writeFD(typeWelcome, b, w.FD)
}

// serveControl returns nil when the peer ends the connection between frames.
func (s *Server) serveControl(l *link, p *Peer) error {
	for {
		t, body, err := l.read(0)
		if err != nil {
			return s.ended(err)
		}
		var reply any = struct{}{}
		switch t {
		case typeProtect:
			err = call(body, func(m Protect) error { return s.Handler.Protect(p, m) })
		case typeListening:
			err = call(body, func(m Listening) (err error) {
				reply, err = s.Handler.Listening(p, m)
				return err
			})
		case typeClosed:
			err = call(body, func(m Closed) error { return s.Handler.Closed(p, m) })
		case typeMismatch:
			err = call(body, func(m Mismatch) error { return s.Handler.Mismatch(p, m) })
		default:
			err = fmt.Errorf("%w: type %d", errFrame, t)
		}
		if errors.Is(err, errFrame) {
			l.writeJSON(typeError, asError(err))
			return err
		}
		if err != nil {
			err = l.writeJSON(typeError, asError(err))
		} else {
			err = l.writeJSON(typeOK, reply)
		}
		if err != nil {
			return s.ended(err)
		}
	}
}

// ended turns the errors of a peer that is no more into nil.
func (s *Server) ended(err error) error {
	if isTimeout(err) || errors.Is(err, errFrame) || errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	return nil
}

func (s *Server) serveData(l *link) {
	var buf []byte
	for {
		t, body, err := l.read(0)
		if err != nil || t != typeReadLog {
			return
		}
		r, err := parseReadLog(body)
		if err != nil {
			l.writeJSON(typeError, asError(err))
			return
		}
		if cap(buf) < r.N {
			buf = make([]byte, r.N)
		}
		n, err := s.Handler.ReadLog(r, buf[:r.N])
		if err != nil {
			err = l.writeJSON(typeError, asError(err))
		} else {
			err = l.write(typeData, buf[:n])
		}
		if err != nil {
			return
		}
	}
}

func call[M any](body []byte, f func(M) error) error {
	var m M
	if err := parseJSON(body, &m); err != nil {
		return err
	}
	return f(m)
}

func asError(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{CodeRefused, err.Error()}
}
