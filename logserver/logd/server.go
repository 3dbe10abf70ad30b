package logd

import (
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/ftnet/ftnet/logserver"
)

// Server is a log server.
type Server struct {
	cfg       Config
	tls       *tls.Config
	store     logserver.Log
	table     connections
	blocks    blocks
	run       uint64 // tells this process from others
	admission admission
	counted   counters
	done      chan struct{}
	wg        sync.WaitGroup

	mu        sync.Mutex // guards what follows
	listeners map[net.Listener]bool
	strangers map[net.Conn]bool
	sessions  map[uint32]*session // by rank
	peers     map[string]int      // sessions of an identity
	closed    bool
}

// NewServer returns a server for what the store holds. It listens nowhere yet.
func NewServer(cfg Config) (*Server, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	key, err := tokenKey(&cfg)
	if err != nil {
		return nil, err
	}
	s := &Server{
		cfg: cfg, store: cfg.Store, table: connections{services: map[string]*service{}}, done: make(chan struct{}),
		blocks:    blocks{key: key, anyone: cfg.TLS == nil},
		admission: admission{most: cfg.MaxHandshakes, mostPerAddress: cfg.MaxHandshakesPerAddress, by: map[string]int{}},
		listeners: map[net.Listener]bool{}, strangers: map[net.Conn]bool{},
		sessions: map[uint32]*session{}, peers: map[string]int{},
	}
	if cfg.TLS != nil {
		s.tls = secure(cfg.TLS)
	}
	var run [8]byte
	_, _ = rand.Read(run[:]) // never fails
	s.run = binary.BigEndian.Uint64(run[:])
	if err := s.store.RegisterService(0); err != nil {
		return nil, fmt.Errorf("logd: %w", err)
	}
	if err := s.table.load(s.store, s.blocks.used); err != nil {
		return nil, err
	}
	s.store.SetUpcall(s.upcall)
	s.store.SetStatusUpcall(s.statusUpcall)
	return s, nil
}

// Serve accepts connections until the listener fails or the server is closed;
// then it returns net.ErrClosed. It closes the listener.
func (s *Server) Serve(l net.Listener) error {
	defer l.Close()
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return net.ErrClosed
	}
	s.listeners[l] = true
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.listeners, l)
		s.mu.Unlock()
	}()
	for pause := time.Duration(0); ; {
		conn, err := l.Accept()
		if err != nil {
			select {
			case <-s.done:
				return net.ErrClosed
			default:
			}
			if errors.Is(err, net.ErrClosed) {
				return err
			}
			// Such as too many open files: it may pass.
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			s.cfg.Warn("a connection was not accepted", "error", err)
			select {
			case <-time.After(pause):
			case <-s.done:
			}
			continue
		}
		pause = 0
		if !s.admit(conn) {
			conn.Close()
		}
	}
}

// admit begins a session on a connection, if there is room for another handshake.
func (s *Server) admit(conn net.Conn) bool {
	leave, ok := s.admission.admit(conn.RemoteAddr())
	if !ok {
		s.counted.refused.Add(1)
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		leave()
		return false
	}
	s.strangers[conn] = true
	s.wg.Go(func() {
		defer conn.Close()
		session, err := s.greet(conn)
		leave()
		s.mu.Lock()
		delete(s.strangers, conn)
		s.mu.Unlock()
		if err != nil {
			s.counted.refused.Add(1)
			s.cfg.Warn("a peer was turned away", "peer", conn.RemoteAddr(), "error", err)
			return
		}
		s.counted.accepted.Add(1)
		if err := session.serve(); err != nil {
			s.cfg.Warn("a session has ended", "peer", conn.RemoteAddr(), "error", err)
		}
	})
	return true
}

// Sessions returns how many peers are being served.
func (s *Server) Sessions() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sessions)
}

// Close ends all sessions and waits until the store is not used any more. It
// does not close the store.
func (s *Server) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return net.ErrClosed
	}
	s.closed = true
	close(s.done)
	for l := range s.listeners {
		l.Close()
	}
	for conn := range s.strangers {
		conn.Close()
	}
	sessions := s.sessions
	s.sessions = map[uint32]*session{}
	s.mu.Unlock()
	for _, session := range sessions {
		session.end(net.ErrClosed)
	}
	s.wg.Wait()
	s.store.SetUpcall(nil)
	s.store.SetStatusUpcall(nil)
	return nil
}
