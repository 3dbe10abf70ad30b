package recovery

import (
	"context"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/internal/control"
	"github.com/ftnet/ftnet/internal/journal"
	"github.com/ftnet/ftnet/recovery/config"
)

// Adopting a process that has outlived its engine.
//
//	               Add: Find
//	process lives ───────────► adopting ──────────────────────────────► adopted
//	                               │     ModeListen: it hands its journal back and
//	                               │     tells its listeners; else at once
//	                               ▼
//	                          as after a crash: it has ended, or is killed
//	                          because it does not come

// resumePatience is how long a process may take to find the next engine: it asks
// four times a second at least.
const resumePatience = 10 * time.Second

// find looks for the process that the engine before has left, and has it go on. It
// returns false if there is none.
func (s *Service) find() (bool, error) {
	v, err := s.host.before.Take(s.name, s.cfg.Mode == config.ModeUnmodified)
	if v == nil || err != nil {
		return false, err
	}
	s.survivor, s.socketName, s.adopting = v.Survivor, v.Socket, true
	scfg := s.inherit.supervise(&s.cfg, s.log)
	if v.State().Digest != "" && v.State().Digest != scfg.Digest() {
		s.log.Warn("the server process was started with another configuration; restart it for the present one", "pid", v.State().PID)
	}
	s.log.Info("the server process has outlived the engine before", "pid", v.State().PID)
	return true, nil
}

// resume admits a process that has outlived the engine before. n.s.mu is not held.
func (n north) resume(p *control.Peer) (control.Welcome, error) {
	s := n.s
	refuse := func(why string) (control.Welcome, error) {
		s.log.Warn("a server process is not taken over", "pid", p.Cred.PID, "reason", why)
		return control.Welcome{}, &control.Error{Code: control.CodeRefused, Message: why}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.survivor == nil {
		return refuse("the process is not this service's")
	}
	if !s.survivor.Has(int(p.Cred.PID)) {
		return refuse("the process is not the one that the engine before has started")
	}
	w := control.Welcome{Service: s.name, MaxConns: s.host.cfg.MaxConnections, Returns: true, FD: -1}
	switch {
	case s.journal == nil && p.Memory < 0:
		return refuse("the process brings no journal")
	case s.journal == nil:
		j, err := journal.Adopt(p.Memory, maxJournal, maxJournal*pagesPerConn)
		if err != nil {
			return refuse(err.Error())
		}
		s.journal = j
	case p.Memory < 0 || !sameFile(p.Memory, s.journal.Fd()):
		w.FD = s.journal.Fd()
	}
	s.peers[p.ID] = int(p.Cred.PID)
	s.log.Debug("server process connected again", "pid", p.Cred.PID)
	return w, nil
}

// maxJournal is more connections than any engine has had.
const maxJournal = 1 << 24

func sameFile(a, b int) bool {
	var x, y unix.Stat_t
	return unix.Fstat(a, &x) == nil && unix.Fstat(b, &y) == nil && x.Dev == y.Dev && x.Ino == y.Ino
}

// Resumed is called when the process has told all its listeners.
func (n north) Resumed(p *control.Peer) error {
	s := n.s
	if !s.isAdopting() {
		return nil
	}
	if err := s.takeOver(); err != nil {
		return err
	}
	s.settleAdoption()
	s.host.releasePorts()
	s.log.Info("the server process has been taken over", "pid", p.Cred.PID)
	return nil
}

func (s *Service) isAdopting() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.adopting
}

// settleAdoption notes that it is over.
func (s *Service) settleAdoption() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.adopting = false
	s.notify()
}

// awaitResumption kills a process that does not come. It is called when the
// supervisor attends to it.
func (s *Service) awaitResumption() {
	time.AfterFunc(resumePatience, func() {
		s.mu.Lock()
		sup, waits := s.sup, s.adopting
		s.mu.Unlock()
		if waits && sup != nil {
			s.log.Error("the server process does not connect to the engine and is started again", "waited", resumePatience)
			if err := sup.Restart(context.Background(), nil); err != nil {
				s.log.Warn("the server process is not started again", "error", err)
			}
		}
	})
}

// abandon recovers the connections of a process that has ended before it was taken
// over.
func (s *Service) abandon() {
	if !s.isAdopting() {
		return
	}
	s.settleAdoption()
	err := s.makeJournal()
	if err == nil {
		err = s.takeOver()
	}
	s.host.releasePorts()
	if err != nil {
		s.log.Error("connections of the process that has ended are not recovered", "error", err)
	}
}

// makeJournal makes a journal, unless there is one or the server is unmodified.
func (s *Service) makeJournal() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.journal != nil || s.cfg.Mode == config.ModeUnmodified {
		return nil
	}
	j, err := journal.Create(s.host.cfg.MaxConnections, s.host.cfg.MaxConnections*pagesPerConn)
	s.journal = j
	return err
}

// own makes a port the service's.
func (s *Service) own(n uint16) error {
	if s.owns(n) {
		return nil
	}
	claim, err := s.host.claim(s, n)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.ports[n] = &port{claim: claim, network: "tcp", compare: s.cfg.Compare}
	s.mu.Unlock()
	return nil
}
