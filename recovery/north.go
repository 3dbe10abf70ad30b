package recovery

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/ftnet/ftnet/internal/control"
	"github.com/ftnet/ftnet/internal/procfs"
	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/recovery/config"
)

// north answers the server processes of one service of config.ModeListen. It is the
// control protocol's handler.
type north struct{ s *Service }

var _ control.Successor = north{}

// Hello admits a server process.
func (n north) Hello(p *control.Peer) (control.Welcome, error) {
	if p.Hello.Resume {
		return n.resume(p)
	}
	s := n.s
	if s.isAdopting() { // a new process of a survivor: the journal is still to come
		return control.Welcome{}, &control.Error{Code: control.CodeLater, Message: "the engine is taking over"}
	}
	if err := s.makeJournal(); err != nil {
		return control.Welcome{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.peers[p.ID] = int(p.Cred.PID)
	s.log.Debug("server process connected", "pid", p.Cred.PID)
	return control.Welcome{Service: s.name, MaxConns: s.host.cfg.MaxConnections, FD: s.journal.Fd(), Returns: s.recorder != nil}, nil
}

// Protect is called before the port is bound.
func (n north) Protect(p *control.Peer, m control.Protect) error {
	if m.Port == 0 {
		return &control.Error{Code: control.CodeRefused, Message: "protect: no port"}
	}
	if err := n.s.host.home.foreign(p, m); err != nil {
		n.s.host.wg.Go(func() { n.s.fail(n.s.host.ctx, err) })
		return &control.Error{Code: control.CodeRefused, Message: err.Error()}
	}
	if !p.Hello.Resume {
		n.s.died(evidence{by: replaced, peer: p.ID, port: m.Port})
	}
	n.s.admitting.Lock()
	defer n.s.admitting.Unlock()
	if err := n.s.admit(p, m); err != nil {
		n.s.log.Error("port is not protected", "port", m.Port, "error", err)
		n.s.mu.Lock()
		n.s.refused = err
		n.s.mu.Unlock()
		return &control.Error{Code: control.CodeRefused, Message: fmt.Sprintf("protect port %d: %v", m.Port, err)}
	}
	return n.s.protect([]uint16{m.Port})
}

// admit makes a port that a process asks for the service's, if it is not yet.
// s.admitting is held.
func (s *Service) admit(p *control.Peer, m control.Protect) error {
	s.mu.Lock()
	pt, listen := s.ports[m.Port], s.listen
	s.mu.Unlock()
	// Where the host is a name, Listening has its address.
	asked, err := config.ParseAddress(m.Address)
	if err == nil && !permitted(listen, asked) || err != nil && len(listen) > 0 && !slices.Contains(portsOf(listen), m.Port) {
		return fmt.Errorf("%s is not among the configured addresses (%s); is --listen, or listen in the configuration, right?", m.Address, addressList(listen))
	}
	if pt == nil {
		claim, err := s.host.claim(s, m.Port)
		if err != nil {
			return err
		}
		pt = &port{claim: claim}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ports[m.Port] = pt
	pt.network, pt.address, pt.compare, pt.owner, pt.listener = m.Network, m.Address, m.Compare, p.ID, m.ID
	pt.asked, pt.left, pt.abandoned, pt.expiring = m.Asked, m.Left, false, false
	pt.ambiguous = s.asked[p.ID][m.Asked] > 1
	for _, other := range s.ports { // an engine that has taken over hears of all of them
		if m.Asked != "" && other != pt && other.owner == p.ID && other.asked == m.Asked {
			pt.ambiguous, other.ambiguous = true, true
		}
	}
	return nil
}

// Listening begins the reconnection after an outage.
func (n north) Listening(p *control.Peer, m control.Listening) (control.ListeningReply, error) {
	refuse := func(why string) (control.ListeningReply, error) {
		return control.ListeningReply{}, &control.Error{Code: control.CodeRefused, Message: "listening: " + why}
	}
	at, err := config.ParseAddress(m.Address)
	if err != nil {
		return refuse(err.Error())
	}
	number := at.Port()
	s := n.s
	s.mu.Lock()
	pt := s.ports[number]
	if pt == nil || !pt.protected || !permitted(s.listen, at) {
		s.mu.Unlock()
		return refuse(m.Address + " was not protected, or is not among the configured addresses")
	}
	pt.address, pt.listening, pt.owner, pt.listener = m.Address, true, p.ID, m.ID
	s.listens(p.Cred.PID)
	s.process.listenedAt = time.Now()
	s.mu.Unlock()
	recovering := s.host.engine.Listening(number)
	s.mu.Lock()
	s.process.recovering += recovering
	s.process.listenedAt = time.Now()
	s.notify()
	s.mu.Unlock()
	s.log.Info("listening", "address", m.Address, "pid", p.Cred.PID, "recovering", recovering)
	return control.ListeningReply{Recovering: recovering}, nil
}

// Closed notes that the application has closed a listener.
func (n north) Closed(p *control.Peer, m control.Closed) error {
	n.s.mu.Lock()
	defer n.s.mu.Unlock()
	for _, pt := range n.s.ports {
		if pt.owner != p.ID || pt.listener != m.ID {
			continue
		}
		if pt.left = pt.listening; !pt.left {
			pt.owner = 0 // it was never bound
		}
		pt.listening = false
	}
	return nil
}

// Mismatch counts and logs a connection that cannot be rolled forward. The
// process resets it next.
func (n north) Mismatch(_ *control.Peer, m control.Mismatch) error {
	s := n.s
	flow, ok := s.host.engine.FlowOf(m.Slot, m.Gen, s.owns)
	if !ok {
		return &control.Error{Code: control.CodeStale, Message: "the connection is gone"}
	}
	s.mu.Lock()
	if pt := s.ports[flow.Server.Port()]; pt != nil {
		pt.mismatches++
	}
	s.lose(flow, fmt.Sprintf("the restarted handler's output differs at offset %d", m.Offset))
	s.mu.Unlock()
	s.log.Warn("connection reset: the restarted handler's output differs from what the client has acknowledged",
		"connection", flow, "offset", m.Offset, "exact", m.Exact, "compare", m.Compare)
	return nil
}

// The compiler refuses to build if a state could be longer than its answer.
var _ [control.MaxState - logserver.MaxState]byte

// ReadLog serves the stable data of a connection that is rolled forward, or the state of its base. Those
// of other services do not exist here.
func (n north) ReadLog(r control.ReadLog, buf []byte) (int, error) {
	read := n.s.host.engine.ReadLog
	if r.State {
		read = n.s.host.engine.ReadState
	}
	got, err := read(r.Slot, r.Gen, n.s.owns, buf, r.Off)
	if errors.Is(err, logserver.ErrUnreachable) {
		return 0, &control.Error{Code: control.CodeLater, Message: err.Error()}
	}
	if err != nil {
		return 0, &control.Error{Code: control.CodeStale, Message: err.Error()}
	}
	return got, nil
}

// Gone passes on that a process has ended, or its control connection has.
func (n north) Gone(p *control.Peer, err error) {
	s := n.s
	if err != nil {
		s.log.Warn("server process broke the control protocol", "pid", p.Cred.PID, "error", err)
	}
	s.mu.Lock()
	delete(s.peers, p.ID)
	delete(s.asked, p.ID)
	s.leaving++ // until it is known what follows
	main := s.process.supervised
	s.mu.Unlock()
	s.died(evidence{by: hungUp, peer: p.ID, pid: p.Cred.PID, main: main})
}

// ending reports whether a process of the service is ending, or has ended and the engine
// has not been notified yet. The sockets that a process closes by ending are closed after
// its end has begun. ending may be called with the engine's lock held.
func (s *Service) ending() bool {
	s.mu.Lock()
	unreported, pids := s.unreported(), s.processes()
	s.mu.Unlock()
	return unreported || slices.ContainsFunc(pids, ends)
}

// unreported reports whether a process has ended and the engine has not been notified yet. s.mu is held.
func (s *Service) unreported() bool { return s.process.ending || s.leaving > 0 }

// processes returns the supervised process and those that are connected. s.mu is held.
func (s *Service) processes() []int {
	return append(slices.Collect(maps.Values(s.peers)), s.process.supervised)
}

// ends reports whether a process, if it is known, has ended or is about to.
func ends(pid int) bool { return pid > 0 && procfs.Ending(pid) }
