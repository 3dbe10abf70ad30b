package logd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/ftnet/ftnet/logserver/internal/wire"
)

var (
	errTooManySessions = errors.New("too many sessions")
	errTooManyOfPeer   = errors.New("too many sessions with this certificate")
)

// greet makes a peer of a stranger, in bounded time and memory: TLS, the
// client's Hello, the answer.
func (s *Server) greet(conn net.Conn) (*session, error) {
	if err := conn.SetDeadline(time.Now().Add(s.cfg.HandshakeTimeout)); err != nil {
		return nil, err
	}
	peer := identity{all: true}
	var cork *wire.Cork
	if s.tls != nil {
		cork = wire.NewCork(conn)
		secured := tls.Server(cork, s.tls)
		ctx, cancel := context.WithTimeout(context.Background(), s.cfg.HandshakeTimeout)
		defer cancel()
		if err := secured.HandshakeContext(ctx); err != nil {
			return nil, fmt.Errorf("TLS: %w", err)
		}
		conn = secured
		var err error
		if peer, err = identify(secured.ConnectionState()); err != nil {
			return nil, s.refuse(conn, wire.CodeDenied, err)
		}
	}
	r := wire.NewReader(conn)
	f, err := r.Next()
	if err != nil {
		return nil, fmt.Errorf("no greeting: %w", err)
	}
	hello, err := wire.ParseHello(f)
	if _, version := errors.AsType[*wire.VersionError](err); version {
		return nil, s.refuse(conn, wire.CodeVersion, err)
	} else if err != nil {
		return nil, s.refuse(conn, wire.CodeProtocol, err)
	}
	for _, name := range hello.Services {
		if !peer.may(name) {
			return nil, s.refuse(conn, wire.CodeDenied, fmt.Errorf("%w: %q", wire.ErrDenied, name))
		}
	}
	x, err := s.newSession(conn, cork, r, peer, hello)
	if err != nil {
		return nil, s.refuse(conn, wire.CodeBusy, err)
	}
	return x, nil
}

// refuse tells the peer why it is not served, if it listens.
func (s *Server) refuse(conn net.Conn, code wire.Code, err error) error {
	_, _ = conn.Write(wire.AppendError(nil, code, err.Error()))
	return err
}

// newSession begins a session, or goes on with one over a new connection: the
// old connection is then given up.
func (s *Server) newSession(conn net.Conn, cork *wire.Cork, r *wire.Reader, peer identity, hello wire.Hello) (*session, error) {
	x := &session{
		srv: s, peer: peer, conn: conn, cork: cork, in: r, done: make(chan struct{}), stopped: make(chan struct{}),
		blocks: map[uint32]bool{}, fenced: map[*service]bool{},
		drained: make(chan struct{}, 1), slots: make(chan struct{}, maxRequests), claims: hello.Services, since: time.Now(),
		silence: min(max(hello.Silence, minSilence), maxSilence),
	}
	x.init()
	resumed := len(hello.Blocks) > 0 && s.blocks.check(hello.Blocks[0], &peer)
	first := wire.Block{}
	if resumed {
		first = hello.Blocks[0]
		for _, k := range hello.Blocks {
			if s.blocks.check(k, &peer) {
				x.blocks[k.Number] = true
				s.blocks.atLeast(k.Number)
			}
		}
	} else {
		var err error
		if first, err = s.blocks.next(&peer); err != nil {
			return nil, err
		}
		x.blocks[first.Number] = true
	}
	x.rank = first.Number

	s.mu.Lock()
	old := s.sessions[x.rank]
	switch {
	case s.closed:
		s.mu.Unlock()
		return nil, net.ErrClosed
	case old == nil && len(s.sessions) >= s.cfg.MaxSessions:
		s.mu.Unlock()
		return nil, errTooManySessions
	case s.peers[peer.name] >= s.cfg.MaxSessionsPerPeer && old == nil:
		s.mu.Unlock()
		return nil, errTooManyOfPeer
	}
	s.sessions[x.rank] = x
	s.peers[peer.name]++
	s.mu.Unlock()
	if old != nil {
		old.end(errSuperseded)
		<-old.stopped // what it has read is executed before the peer is told what there is
	}
	x.welcome = wire.Welcome{
		Version: wire.Version, Resumed: resumed, Silence: s.cfg.Silence,
		Block: first, Run: s.run,
	}
	return x, nil
}

// Bounds of how long a client may be silent.
const (
	minSilence = 100 * time.Millisecond
	maxSilence = 10 * time.Minute
)
