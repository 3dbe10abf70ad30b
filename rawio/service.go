package rawio

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"time"

	"github.com/ftnet/ftnet/internal/journal"
	"github.com/ftnet/ftnet/internal/policy"
	"github.com/ftnet/ftnet/internal/reason"
	"github.com/ftnet/ftnet/rawio/internal/south"
)

// DefaultOutputBuffer is a good Config.OutputBuffer for engines that protect
// unmodified servers, bytes.
const DefaultOutputBuffer = 16 << 20

// Service is a port and how it is protected.
type Service struct {
	Port uint16
	Name string // of the service, in the log
	// Journal is the record of the server process. It is the caller's to close,
	// after Unprotect. Nil: the server is unmodified.
	Journal    *journal.Journal
	Unmodified bool
	Compare    policy.Compare // unmodified servers only
	Quota      int64          // the log's room for one connection, bytes; 0: unlimited
	OnFull     policy.OnFull  // what happens to a connection that has used it up
	LogPolicy  policy.Log     // unmodified servers only
	Idle       time.Duration  // of LogSinceIdle
	LogDown    policy.LogDown // what happens while the log makes nothing stable
	DownAfter  time.Duration  // of DownUnprotect; default 10 s
	// Ending reports whether a process that serves the port is ending, or has ended,
	// and Crash, Succeed or Release is still to come. It is called with the engine's
	// lock held, and must not wait. Nil: never.
	Ending func() bool
	// Adopt says, for a port of the adopted gate, that the server process has outlived
	// the previous engine: its connections continue. Otherwise they are recovered when
	// a server listens.
	Adopt bool
}

func (s *Service) core() south.Service {
	return south.Service{
		Name: s.Name, Unmodified: s.Unmodified, Compare: s.Compare, Quota: s.Quota, OnFull: s.OnFull,
		Log: s.LogPolicy, Idle: int64(s.Idle),
		LogDown: s.LogDown, DownAfter: int64(s.DownAfter),
	}
}

func (s *Service) validate(cfg *Config) error {
	switch {
	case s.Port == 0:
		return errors.New("no port")
	case s.Unmodified == (s.Journal != nil):
		return errors.New("a service has a journal, or its server is unmodified")
	case s.Unmodified && cfg.OutputBuffer == 0:
		return errors.New("the engine was opened without an OutputBuffer, which unmodified servers need")
	case s.LogPolicy == policy.LogSinceIdle && s.Idle <= 0:
		return errors.New("the time after which a connection is idle is not positive")
	case s.DownAfter < 0:
		return errors.New("the time that a connection waits for the log is below 0")
	}
	return nil
}

// Protect begins to protect a port, or changes how: a change of the log's room applies to all connections
// from then on, other changes to new ones. If the predecessor has left connections of the service at the port
// (see TakeOver), an outage begins, and they are recovered when the server listens.
// Connections that exist already stay unprotected, and are reported as such, unless they were
// reported before because nothing was logged. Whether a server is unmodified
// cannot change before Unprotect. For the first unmodified server the gate begins to
// watch releases, which may fail with ErrNotSupported.
func (e *Engine) Protect(s Service) error {
	fail := func(err error) error { return fmt.Errorf("rawio: protect port %d: %w", s.Port, err) }
	if err := s.validate(&e.cfg); err != nil {
		return fail(err)
	}
	if s.Unmodified {
		if err := e.gate.WatchReleases(); err != nil {
			return fail(err)
		}
	}
	if err := e.cfg.Log.RegisterService(s.Port); err != nil {
		return fail(err)
	}
	e.unseen.look.Lock() // no look comes before the one below
	defer e.unseen.look.Unlock()
	var why reason.Reason // of connections that the port has
	err := net.ErrClosed
	e.do(func(m *south.Machine) {
		old := e.ports[s.Port]
		if old != nil && old.Journal != s.Journal {
			err = errors.New("it is protected with another journal")
			return
		}
		_, had := e.before.gate[s.Port]
		switch {
		case had:
			why = reason.Inherited
		case !m.Protects(s.Port):
			why = reason.Earlier
		case old != nil && old.LogPolicy == policy.LogOff && s.LogPolicy != policy.LogOff:
			why = reason.Off
		}
		if err = e.protect(m, &s); err != nil {
			return
		}
		e.links.setPorts(slices.Collect(maps.Keys(e.ports)))
		delete(e.unseen.aliases, s.Port)
		if why != "" {
			e.unseen.earlier[s.Port] = why
		}
	})
	if err != nil {
		return fail(err)
	}
	if why != "" {
		_ = e.lookAt([]uint16{s.Port}, time.Now(), nil) // after an error the next look finds them
	}
	e.trials.wake()
	return nil
}

// Unprotect ends the protection of a port: its packets pass unobserved from then on, also
// those of the connections that it still has; drain them before.
func (e *Engine) Unprotect(port uint16) error {
	err := net.ErrClosed
	e.do(func(m *south.Machine) {
		m.Unprotect(port)
		delete(e.ports, port)
		e.links.setPorts(slices.Collect(maps.Keys(e.ports)))
		e.unseen.forget(port)
		e.trials.forget(port)
		err = e.gate.DeleteService(port)
	})
	return err
}

// sweepJournals frees what the dead processes of ports have left in their
// journals.
func (e *Engine) sweepJournals(ports []uint16) {
	e.mu.Lock()
	var list []*journal.Journal
	for _, p := range ports {
		if s := e.ports[p]; s != nil && s.Journal != nil {
			list = append(list, s.Journal)
		}
	}
	e.mu.Unlock()
	for _, j := range list {
		j.Sweep()
	}
}
