package rawio

import (
	"errors"
	"fmt"

	"github.com/ftnet/ftnet/rawio/internal/gate"
	"github.com/ftnet/ftnet/rawio/internal/gate/kernel"
	"github.com/ftnet/ftnet/rawio/internal/south"
)

// reservedSlots is the number of slots without a connection: one that stays free, see Probe, and the one
// of trials.
const reservedSlots = 2

// openGate loads the gate, or adopts it.
func (e *Engine) openGate() (g *kernel.Gate, err error) {
	cfg := kernel.Config{MaxConns: e.cfg.MaxConns + reservedSlots,
		ID: e.cfg.ID, OutputBuffer: e.cfg.OutputBuffer, DeadAfter: e.cfg.DeadAfter, BPFFS: e.cfg.BPFFS,
		Epoch: e.cfg.Epoch, LoopbackCarries: e.loopbackCarries(), Mark: e.cfg.Mark.Value}
	defer func() {
		if err == nil {
			e.gate, e.reports, e.captures = g, g.Events(), g.Outputs()
			e.reportPins()
		}
	}()
	if !e.cfg.Adopt {
		if g, err = kernel.Load(cfg); err != nil {
			return nil, fmt.Errorf("rawio: load the gate: %w", err)
		}
		return g, nil
	}
	if g, err = kernel.Adopt(cfg); err != nil {
		return nil, fmt.Errorf("rawio: adopt the gate: %w", err)
	}
	e.cfg.MaxConns = g.MaxConns() - reservedSlots
	return g, nil
}

// reportPins logs whether the next engine can find the gate, and whether this one has found
// it. A host without a BPF file system does not deserve a warning.
func (e *Engine) reportPins() {
	p := e.gate.Pins()
	switch {
	case errors.Is(p.Err, gate.ErrNoBPFFS):
		e.log.Debug("the gate is not pinned", "reason", p.Err)
	case p.Err != nil:
		e.log.Warn("the gate is not pinned", "reason", p.Err)
	case e.cfg.Adopt:
		e.log.Debug("the gate of the engine before was taken over by its pins", "directory", p.Dir)
	default:
		e.log.Debug("the gate is pinned", "directory", p.Dir)
	}
}

// inherit tells the core what an adopted gate knows.
func (e *Engine) inherit() error {
	if !e.cfg.Adopt {
		return nil
	}
	flows, err := e.gate.Flows()
	if err != nil {
		return err
	}
	services, err := e.gate.Services()
	if err != nil {
		return err
	}
	for _, s := range services {
		e.before.gate[s.Port] = s.State
	}
	for f, slot := range flows {
		switch slot {
		case e.trialSlot():
			e.trials.takeBack(f, 0)
		case e.bypassSlot(): // of an earlier engine's Probe
			_ = e.gate.Unbind(f)
		default:
			continue
		}
		delete(flows, f)
	}
	e.machine.Inherit(flows)
	return nil
}

// protect is the part of Protect with the engine's lock held: it takes over what the
// predecessor has left of the port. After an error all is as it was.
func (e *Engine) protect(m *south.Machine, s *Service) error {
	if m.Protects(s.Port) {
		e.ports[s.Port] = s
		m.Protect(s.Port, s.core())
		return nil
	}
	list := e.before.conns[s.Name][s.Port]
	state, had := e.before.gate[s.Port]
	restores := (len(list) > 0 || had) && !(s.Adopt && had)
	if restores {
		if err := e.gate.SetService(s.Port, gate.ServiceHold, s.Unmodified); err != nil {
			return err
		}
	}
	e.ports[s.Port] = s
	delete(e.before.conns[s.Name], s.Port)
	delete(e.before.gate, s.Port)
	delete(e.before.held, s.Port)
	switch {
	case restores:
		n := m.Restore(s.Port, s.core(), list)
		e.log.Info("connections from before are in the log", "port", s.Port, "connections", n)
	case had:
		n := m.Adopt(s.Port, s.core(), state != gate.ServiceListen, list)
		e.log.Info("connections have outlived the engine before", "port", s.Port, "connections", n)
	default:
		m.Protect(s.Port, s.core())
	}
	return nil
}

var errRecord = errors.New("the server process has no record of the connection")

// Adopt takes over the journal's record of a connection.
func (v *environment) Adopt(slot, gen uint32, f Flow, read int64) error {
	j := v.journal(slot)
	h, ok := j.Head(slot)
	if !ok {
		return errRecord
	}
	if h.Gen != gen || Flow(h.Flow) != f {
		j.Withdraw(slot)
		return errRecord
	}
	return j.SkipReads(slot, read)
}
