package control

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// Server accepts server processes.
type Server struct {
	// Handler answers. Required.
	Handler Handler
	// Allow judges a peer by its credentials; nil allows this process's own
	// user and root.
	Allow func(Credentials) bool
	// MaxConns bounds the connections served at once, each with at most
	// about 2 MiB of memory, or 1 KiB for each listener that it announces.
	// Default 256; others are closed at once.
	MaxConns int

	instance string

	mu     sync.Mutex // guards what follows
	nextID uint64
	conns  map[*link]bool // true: of a server process, which is notified of the end
	end    func()         // of Serve
	leave  bool
	closed bool
	wg     sync.WaitGroup
}

// Serve answers with h on ln until ctx ends, and returns nil then, or the error
// that ended it. It closes ln and all connections, and returns after the last
// call of h. Server processes are notified that the engine has ended on purpose.
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
	s.conns, s.instance = map[*link]bool{}, rand.Text()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.mu.Lock()
	if s.end = cancel; s.leave {
		cancel()
	}
	s.mu.Unlock()
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
			if Temporary(err) {
				select {
				case <-ctx.Done():
				case <-time.After(AcceptPause): // descriptors come back
				}
				continue
			}
			return err
		}
		l := &link{c: c}
		if !s.add(l) {
			c.Close()
			continue
		}
		go func() {
			defer s.wg.Done()
			defer s.remove(l)
			s.serveConn(l)
		}()
	}
}

// serveConn admits a connection and answers on it until it ends.
func (s *Server) serveConn(l *link) {
	cred, err := credentials(l.c)
	if err != nil || !s.Allow(cred) {
		l.writeJSON(typeError, Error{CodeRefused, "the engine serves another user"})
		return
	}
	t, body, memory, err := l.readFD(helloTimeout)
	if err != nil {
		return
	}
	p := &Peer{Cred: cred, Memory: memory}
	closeMemory := sync.OnceFunc(func() {
		if p.Memory >= 0 {
			closeFD(p.Memory)
			p.Memory = -1
		}
	})
	defer closeMemory()
	if t != typeHello || parseJSON(body, &p.Hello) != nil {
		l.writeJSON(typeError, Error{CodeRefused, "the first message is not hello"})
		return
	}
	if p.Hello.Version != Version {
		l.writeJSON(typeError, Error{CodeVersion,
			fmt.Sprintf("the engine's protocol has version %d, the server's %d: build both from one release", Version, p.Hello.Version)})
		return
	}
	if p.Hello.Data {
		if l.writeJSON(typeWelcome, Welcome{Version: Version, Instance: s.instance}) == nil {
			s.serveData(l)
		}
		return
	}
	s.mu.Lock()
	s.nextID++
	p.ID = s.nextID
	s.mu.Unlock()
	if !s.admitted(l) {
		return
	}
	w, err := s.hello(p)
	closeMemory()
	if err != nil {
		l.writeJSON(typeError, asError(err))
		return
	}
	w.Version, w.Instance = Version, s.instance
	err = s.welcome(l, w)
	if err == nil {
		err = s.serveControl(l, p)
	}
	s.Handler.Gone(p, err)
}

// hello admits a process, or one that resumes.
func (s *Server) hello(p *Peer) (Welcome, error) {
	if _, ok := s.Handler.(Successor); p.Hello.Resume && !ok {
		return Welcome{}, &Error{CodeRefused, "the engine does not take over processes"}
	}
	if p.Hello.Resume && p.Hello.Instance == s.instance {
		return Welcome{}, &Error{CodeRefused, "the engine has taken the end of the connection for the process's"}
	}
	return s.Handler.Hello(p)
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
		case typeAnnounce:
			err = call(body, func(m Announcement) (err error) {
				reply, err = s.announced(p, m)
				return err
			})
		case typeFormer:
			err = call(body, func(m Protect) (err error) {
				reply, err = s.former(p, m)
				return err
			})
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

func (s *Server) former(p *Peer, m Protect) (Former, error) {
	if h, ok := s.Handler.(Rememberer); ok {
		return h.Former(p, m)
	}
	return Former{}, nil
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
