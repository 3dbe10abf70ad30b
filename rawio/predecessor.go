package rawio

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/ftnet/ftnet/internal/journal"
	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/rawio/internal/gate"
	"github.com/ftnet/ftnet/rawio/internal/south"
)

// predecessor has the connections that a dead engine has left. Those in the gate are read when
// the engine is opened, those in the log once, before this engine opens any there. They are taken over
// service by service; connections of other services stay in the log.
//
//	            its log                something is left there
//	Open ──► held ──► TakeOver ──┬──────────────────────────────► Protect: recovered, or adopted
//	            is read or       │ nothing
//	            waited for       └──────────────────────────────► passes, until Protect
//
// A port whose server process lives is not held: the adopted gate goes on with it.
type predecessor struct {
	reading sync.Mutex // held while the log is read

	// What follows is guarded by the engine's mu.

	gate  map[uint16]gate.ServiceState         // ports of the adopted gate, until they are protected
	held  map[uint16]bool                      // ports whose connections are not known yet, see hold
	read  bool                                 // conns is valid
	conns map[string]map[uint16][]south.Stored // by service and port
}

// Heir is a service that takes over the connections that the predecessor has left of it.
type Heir struct {
	Service    string
	Ports      []uint16 // its ports; none: those of its connections in the log
	Unmodified bool
	// Adopt says that its server process has outlived the predecessor: the connections of
	// the adopted gate continue. Otherwise they are recovered from the log.
	Adopt bool
	// Journal is that of Protect. A process that lives and is not Unmodified hands it back;
	// until then it is nil.
	Journal *journal.Journal
}

// TakeOver calls protect, which is to call Protect, for each port of a service at which
// the predecessor has left connections. If the server process is gone, the gate holds all
// packets of the service's ports from Open on (Config.Heirs), or else from here on, until
// they are protected, or it is known that they have no connections. TakeOver waits for a log that
// cannot be reached, until ctx ends or the engine is closed. If a process lives and has not handed its
// journal back yet, TakeOver does nothing else: Protect takes over the connections later.
//
// With Config.Forget the connections are deleted from the log instead, whatever the port, and
// removed from the kernel, so that a client which speaks gets a RST.
//
// In the end the journal has no connection that the engine does not have.
func (e *Engine) TakeOver(ctx context.Context, h Heir, protect func(port uint16) error) error {
	if !e.lasting() {
		return nil
	}
	err := e.hold(&h)
	if err == nil {
		err = e.takeOver(ctx, &h, protect)
	}
	if err != nil && ctx.Err() != nil { // the ports stay held: their connections are not known, and the engine is to end
		return err
	}
	return errors.Join(err, e.releaseHeld(h.Ports))
}

// lasting reports whether the engine's log outlives it, so that it may have connections of a predecessor.
func (e *Engine) lasting() bool { return !logserver.IsImmediate(e.cfg.Log) }

func (e *Engine) takeOver(ctx context.Context, h *Heir, protect func(port uint16) error) error {
	if err := e.readStored(ctx); err != nil {
		return fmt.Errorf("rawio: connections in the log: %w", err)
	}
	switch {
	case e.cfg.Forget:
		return e.forget(h.Service)
	case h.Adopt && h.Journal == nil && !h.Unmodified:
		return nil
	}
	for _, port := range e.inheritance(h) {
		if err := protect(port); err != nil {
			return err
		}
	}
	if h.Journal != nil {
		e.withdrawStale(h.Journal)
	}
	return nil
}

// inheritance returns the ports at which the predecessor has left connections of a service, in order.
func (e *Engine) inheritance(h *Heir) []uint16 {
	e.mu.Lock()
	defer e.mu.Unlock()
	ports := slices.Collect(maps.Keys(e.before.conns[h.Service]))
	if h.Adopt {
		ports = append(ports, h.Ports...)
	}
	slices.Sort(ports)
	return slices.DeleteFunc(slices.Compact(ports), func(port uint16) bool {
		if _, had := e.before.gate[port]; h.Adopt {
			return !had
		}
		foreign := len(h.Ports) > 0 && !slices.Contains(h.Ports, port)
		if foreign {
			e.log.Warn("connections in the log are not recovered: the service does not listen on their port",
				"service", h.Service, "port", port, "connections", len(e.before.conns[h.Service][port]))
		}
		return foreign
	})
}

// hold makes the gate hold all packets of a service's ports while it is not known which
// connections they have.
func (e *Engine) hold(h *Heir) error {
	if h.Adopt || e.cfg.Forget || !e.lasting() {
		return nil
	}
	for _, port := range h.Ports {
		err := e.atGate(func(g packetGate) error {
			if e.ports[port] != nil {
				return nil
			}
			err := g.SetService(port, gate.ServiceHold, h.Unmodified)
			e.before.held[port] = e.before.held[port] || err == nil
			return err
		})
		if err != nil {
			return fmt.Errorf("rawio: hold port %d: %w", port, err)
		}
	}
	return nil
}

// releaseHeld ends hold for ports that are not protected: they will be when there is a server.
func (e *Engine) releaseHeld(ports []uint16) (err error) {
	for _, port := range ports {
		err = errors.Join(err, e.atGate(func(g packetGate) error {
			if !e.before.held[port] {
				return nil
			}
			delete(e.before.held, port)
			return g.DeleteService(port)
		}))
	}
	return err
}

// forget deletes what the log has of a service.
func (e *Engine) forget(service string) (err error) {
	n := 0
	e.do(func(*south.Machine) {
		for _, list := range e.before.conns[service] {
			for _, s := range list {
				e.env.Destroy(Flow(s.Meta.Flow))
				if derr := e.cfg.Log.Delete(s.Meta.ID); derr != nil && !errors.Is(derr, logserver.ErrNoConn) {
					err = errors.Join(err, fmt.Errorf("rawio: delete connections in the log: %w", derr))
				}
				n++
			}
		}
		delete(e.before.conns, service)
	})
	if n > 0 {
		e.log.Warn("connections from before are not recovered, as configured, and deleted from the log", "service", service, "connections", n)
	}
	return err
}

// ReleaseUnclaimed releases the predecessor's ports that are not protected, unless
// claimed reports that a service has them: their packets pass, and the sockets of their connections are
// removed. It is called after TakeOver was called for all services. claimed is called with the engine's
// lock held.
func (e *Engine) ReleaseUnclaimed(claimed func(port uint16) bool) (err error) {
	e.do(func(m *south.Machine) {
		ports := slices.AppendSeq(slices.Collect(maps.Keys(e.before.gate)), maps.Keys(e.before.held))
		for _, port := range ports {
			if e.ports[port] != nil || claimed(port) {
				continue
			}
			delete(e.before.gate, port)
			delete(e.before.held, port)
			m.ReleaseInherited(port)
			err = errors.Join(err, e.gate.DeleteService(port))
		}
	})
	return err
}

// withdrawStale withdraws the records in a journal that belong to no connection: they may be the
// predecessor's.
func (e *Engine) withdrawStale(j *journal.Journal) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, slot := range j.Slots() {
		c := e.machine.BySlot(slot)
		if c == nil || c.State() == south.Lingering || e.ports[c.Flow.Server.Port()] == nil || e.ports[c.Flow.Server.Port()].Journal != j {
			j.Withdraw(slot)
		}
	}
}

const (
	// storedBatch is how many connections the log is asked for at a time.
	storedBatch = 512
	// storedParallel is how many requests for the connections' reads are under way at once: the
	// round trip to a log server may be long.
	storedParallel = 32
	storedWait     = 50 * time.Millisecond
	// storedWarnAfter is how long the engine waits for the log before it warns.
	storedWarnAfter = 2 * time.Second
)

// readStored reads the predecessor's connections, if that has not happened.
func (e *Engine) readStored(ctx context.Context) error {
	e.before.reading.Lock()
	defer e.before.reading.Unlock()
	warn := time.NewTimer(storedWarnAfter)
	defer warn.Stop()
	for !e.before.read {
		conns, err := e.askStored(ctx, warn.C)
		if err == nil {
			e.mu.Lock()
			e.before.conns, e.before.read = conns, true
			e.mu.Unlock()
			return nil
		}
		if !errors.Is(err, logserver.ErrUnreachable) {
			return err
		}
		select {
		case <-time.After(storedWait):
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		case <-e.closing:
			return err
		}
	}
	return nil
}

// askStored is storedConns, given up when ctx ends or the engine is closed. It logs a warning if
// warn is ready first.
func (e *Engine) askStored(ctx context.Context, warn <-chan time.Time) (map[string]map[uint16][]south.Stored, error) {
	answered := make(chan struct{})
	var stored map[string]map[uint16][]south.Stored
	var failed error
	go func() { // not longer than the log is open, which is closed after the engine
		defer close(answered)
		stored, failed = e.storedConns(ctx)
	}()
	for {
		select {
		case <-answered:
			return stored, failed
		case <-warn:
			e.log.Warn("the server is not started yet: it waits for the log, which may know connections from before and does not answer")
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", logserver.ErrUnreachable, ctx.Err())
		case <-e.closing:
			return nil, logserver.ErrUnreachable
		}
	}
}

// storedConns reads what the log knows of all connections.
func (e *Engine) storedConns(ctx context.Context) (map[string]map[uint16][]south.Stored, error) {
	var all []south.Stored
	for {
		metas, err := e.cfg.Log.Active(len(all), storedBatch)
		if err != nil {
			return nil, err
		}
		for _, m := range metas {
			// The log's clock, or this host's, may have been wrong, especially before a reboot.
			all = append(all, south.Stored{Meta: m, Age: max(0, int64(time.Since(m.Created)))})
		}
		if len(metas) < storedBatch {
			break
		}
	}
	var g sync.WaitGroup
	room := make(chan struct{}, storedParallel)
	errs := make([]error, len(all))
	for i := range all {
		s := &all[i]
		room <- struct{}{}
		g.Go(func() {
			defer func() { <-room }()
			if errs[i] = ctx.Err(); errs[i] != nil {
				return
			}
			if _, s.End, errs[i] = e.cfg.Log.Length(s.Meta.ID); errs[i] == nil {
				s.Reads, errs[i] = e.cfg.Log.Reads(s.Meta.ID)
			}
		})
	}
	g.Wait()
	list := map[string]map[uint16][]south.Stored{}
	for i, s := range all {
		if errors.Is(errs[i], logserver.ErrNoConn) {
			continue // the connection has expired meanwhile
		}
		if errs[i] != nil {
			return nil, errs[i]
		}
		ports, port := list[s.Meta.Service], s.Meta.Server.Port()
		if ports == nil {
			ports = map[uint16][]south.Stored{}
			list[s.Meta.Service] = ports
		}
		ports[port] = append(ports[port], s)
	}
	return list, nil
}
