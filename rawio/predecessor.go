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
	"github.com/ftnet/ftnet/rawio/gate"
	"github.com/ftnet/ftnet/rawio/south"
)

// predecessor is what a dead engine has left of connections. The gate's part is found when
// the engine is opened, the log's once, before this engine opens any there. It is given out
// service by service; what the log has of other services stays where it is.
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
	held  map[uint16]bool                      // ports of which it is not known yet what is left, see hold
	read  bool                                 // conns is the log's
	conns map[string]map[uint16][]south.Stored // by service and port
}

// Heir is a service that goes on with what the predecessor has left of it.
type Heir struct {
	Service    string
	Ports      []uint16 // that it is to have; none: those that it had
	Unmodified bool
	// Adopt says that its server process has outlived the predecessor: the connections of
	// the adopted gate continue. Otherwise they are recovered from the log.
	Adopt bool
	// Journal is that of Protect. A process that lives and is not Unmodified hands it back;
	// until then it is nil.
	Journal *journal.Journal
}

// TakeOver has protect, which is to call Protect, called for each port of a service at which
// the predecessor has left connections. If the server process is gone, the gate holds all
// packets of the service's ports from Open on (Config.Heirs), or else from here on, until
// they are protected, or nothing turns out to be left of them. TakeOver waits for a log that
// cannot be reached, until ctx ends or the engine is closed. Where a process lives and its
// journal is still to come, it does no more than that: Protect finds what there is.
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
	if err != nil && ctx.Err() != nil { // still nobody knows what is left, and the engine is to end
		return err
	}
	return errors.Join(err, e.unhold(h.Ports))
}

// lasting reports whether the engine's log outlives it, and so has outlived another one.
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
		e.tidy(h.Journal)
	}
	return nil
}

// inheritance returns the ports at which something is left for an heir, in order.
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

// hold has the gate hold all packets of an heir's ports: it is not known yet which
// connections they have.
func (e *Engine) hold(h *Heir) error {
	if h.Adopt || e.cfg.Forget || !e.lasting() {
		return nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, port := range h.Ports {
		if e.ports[port] != nil {
			continue
		}
		if err := e.gate.SetService(port, gate.ServiceHold, h.Unmodified); err != nil {
			return fmt.Errorf("rawio: hold port %d: %w", port, err)
		}
		e.before.held[port] = true
	}
	return nil
}

// unhold ends hold for ports that are not protected: they will be when there is a server.
func (e *Engine) unhold(ports []uint16) (err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, port := range ports {
		if e.before.held[port] {
			delete(e.before.held, port)
			err = errors.Join(err, e.gate.DeleteService(port))
		}
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

// ReleaseUnclaimed ends what the predecessor has left of ports that are not protected, unless
// claimed says that a service has them: they pass, and the sockets of their connections are
// removed. It is for when each service has had its turn. claimed is called with the engine's
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
			m.Disown(port)
			err = errors.Join(err, e.gate.DeleteService(port))
		}
	})
	return err
}

// tidy withdraws from a journal what none of the connections has: it may be the
// predecessor's.
func (e *Engine) tidy(j *journal.Journal) {
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
	// storedAtOnce is how many connections are asked for at once.
	storedAtOnce = 512
	// storedAsked is how many of them are asked for their reads side by side: a
	// log server may be far.
	storedAsked = 32
	storedWait  = 50 * time.Millisecond
	// storedTell is how long the log is waited for in silence.
	storedTell = 2 * time.Second
)

// readStored reads the predecessor's connections, if that has not happened.
func (e *Engine) readStored(ctx context.Context) error {
	e.before.reading.Lock()
	defer e.before.reading.Unlock()
	tell := time.NewTimer(storedTell)
	defer tell.Stop()
	for !e.before.read {
		conns, err := e.askStored(ctx, tell.C)
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

// askStored is storedConns, given up when ctx ends or the engine is closed. It warns
// when tell comes first.
func (e *Engine) askStored(ctx context.Context, tell <-chan time.Time) (map[string]map[uint16][]south.Stored, error) {
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
		case <-tell:
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
		metas, err := e.cfg.Log.Active(len(all), storedAtOnce)
		if err != nil {
			return nil, err
		}
		for _, m := range metas {
			// Their clocks may have been wrong, the log's or this host's, before a reboot above all.
			all = append(all, south.Stored{Meta: m, Age: max(0, int64(time.Since(m.Created)))})
		}
		if len(metas) < storedAtOnce {
			break
		}
	}
	var g sync.WaitGroup
	room := make(chan struct{}, storedAsked)
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
			continue // it has expired meanwhile
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
