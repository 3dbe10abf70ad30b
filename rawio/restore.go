package rawio

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/rawio/gate"
	"github.com/ftnet/ftnet/rawio/south"
)

// leftovers are the connections that an earlier engine has left in the log: read
// once, before this engine opens any, and given out service by service. What
// belongs to no service of this engine stays where it is.
type leftovers struct {
	mu   sync.Mutex // guards what follows
	read bool
	list map[leftover][]south.Stored
}

// leftover names the connections of one port.
type leftover struct {
	service string
	port    uint16
}

// Lasting reports whether the engine's log outlives it.
func (e *Engine) Lasting() bool { return !logserver.IsImmediate(e.cfg.Log) }

// Hold has the gate hold all packets of ports until Protect, Unprotect or the end of
// the engine: it is not known yet which connections they have.
func (e *Engine) Hold(unmodified bool, ports ...uint16) error {
	for _, p := range ports {
		if err := e.gate.SetService(p, gate.ServiceHold, unmodified); err != nil {
			return fmt.Errorf("rawio: hold: %w", err)
		}
	}
	return nil
}

// Unhold ends Hold for a port that is not protected.
func (e *Engine) Unhold(port uint16) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ports[port] != nil {
		return nil
	}
	return e.gate.DeleteService(port)
}

// Leftovers returns the ports at which the log knows connections of a service that
// an earlier engine has left, and how many. Protect takes them over, or Forget gives them up. It waits for a
// log that cannot be reached, until ctx ends or the engine is closed.
func (e *Engine) Leftovers(ctx context.Context, service string) (map[uint16]int, error) {
	if !e.Lasting() {
		return nil, nil
	}
	if err := e.readLeftovers(ctx); err != nil {
		return nil, fmt.Errorf("rawio: connections in the log: %w", err)
	}
	e.left.mu.Lock()
	defer e.left.mu.Unlock()
	ports := map[uint16]int{}
	for k, list := range e.left.list {
		if k.service == service {
			ports[k.port] = len(list)
		}
	}
	return ports, nil
}

// Forget deletes from the log what an earlier engine has left of a service, and
// removes the sockets that the kernel may have of it, so that a client which speaks
// gets a RST. It returns how many connections there were, and waits as Leftovers does.
func (e *Engine) Forget(ctx context.Context, service string) (int, error) {
	ports, err := e.Leftovers(ctx, service)
	n := 0
	for port := range ports {
		e.do(func(*south.Machine) {
			for _, s := range e.takeLeftovers(service, port) {
				e.env.Destroy(Flow(s.Meta.Flow))
				if derr := e.cfg.Log.Delete(s.Meta.ID); derr != nil && !errors.Is(derr, logserver.ErrNoConn) {
					err = errors.Join(err, fmt.Errorf("rawio: delete connections in the log: %w", derr))
				}
				n++
			}
		})
	}
	return n, err
}

// takeLeftovers returns the connections that Protect is to take over.
func (e *Engine) takeLeftovers(service string, port uint16) []south.Stored {
	e.left.mu.Lock()
	defer e.left.mu.Unlock()
	k := leftover{service, port}
	list := e.left.list[k]
	delete(e.left.list, k)
	return list
}

const (
	// leftoversAtOnce is how many connections are asked for at once.
	leftoversAtOnce = 512
	// leftoversAsked is how many of them are asked for their reads side by side: a
	// log server may be far.
	leftoversAsked = 32
	leftoversWait  = 50 * time.Millisecond
	// leftoversTell is how long the log is waited for in silence.
	leftoversTell = 2 * time.Second
)

func (e *Engine) readLeftovers(ctx context.Context) error {
	e.left.mu.Lock()
	defer e.left.mu.Unlock()
	tell := time.NewTimer(leftoversTell)
	defer tell.Stop()
	for !e.left.read {
		list, err := e.askStored(ctx, tell.C)
		if err == nil {
			e.left.list, e.left.read = list, true
			return nil
		}
		if !errors.Is(err, logserver.ErrUnreachable) {
			return err
		}
		select {
		case <-time.After(leftoversWait):
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
func (e *Engine) askStored(ctx context.Context, tell <-chan time.Time) (map[leftover][]south.Stored, error) {
	answered := make(chan struct{})
	var stored map[leftover][]south.Stored
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
func (e *Engine) storedConns(ctx context.Context) (map[leftover][]south.Stored, error) {
	var all []south.Stored
	for {
		metas, err := e.cfg.Log.Active(len(all), leftoversAtOnce)
		if err != nil {
			return nil, err
		}
		for _, m := range metas {
			// Their clocks may have been wrong, the log's or this host's, before a reboot above all.
			all = append(all, south.Stored{Meta: m, Age: max(0, int64(time.Since(m.Created)))})
		}
		if len(metas) < leftoversAtOnce {
			break
		}
	}
	var g sync.WaitGroup
	room := make(chan struct{}, leftoversAsked)
	errs := make([]error, len(all))
	for i := range all {
		s := &all[i]
		room <- struct{}{}
		g.Go(func() {
			defer func() { <-room }()
			if errs[i] = ctx.Err(); errs[i] != nil {
				return
			}
			if s.Start, s.End, errs[i] = e.cfg.Log.Length(s.Meta.ID); errs[i] == nil {
				s.Reads, errs[i] = e.cfg.Log.Reads(s.Meta.ID)
			}
		})
	}
	g.Wait()
	list := map[leftover][]south.Stored{}
	for i, s := range all {
		if errors.Is(errs[i], logserver.ErrNoConn) {
			continue // it has expired meanwhile
		}
		if errs[i] != nil {
			return nil, errs[i]
		}
		k := leftover{s.Meta.Service, s.Meta.Server.Port()}
		list[k] = append(list[k], s)
	}
	return list, nil
}

// readsPeriod is how often the log is told how servers have read, while some have.
const readsPeriod = 5 * time.Millisecond

// readsLoop tells a log that outlives the engine how servers have read.
func (e *Engine) readsLoop() {
	const rare = 20 * readsPeriod // while nobody reads
	period := rare
	for {
		select {
		case <-e.closing:
			return
		case <-time.After(period):
		}
		e.do(func(m *south.Machine) {
			copied, left := m.CopyReads()
			if period = rare; copied > 0 && left > 0 {
				period = readsPeriod
			} else if copied > 0 {
				period = 4 * readsPeriod
			}
		})
	}
}
