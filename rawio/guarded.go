package rawio

import (
	"github.com/ftnet/ftnet/rawio/segment"
	"github.com/ftnet/ftnet/rawio/sockdiag"
	"github.com/ftnet/ftnet/rawio/south"
)

// guarded is told by links that packets may pass by the gate on an interface, and why, or
// that they do not any more.
func (e *Engine) guarded(index int, why string) {
	if why != "" {
		e.do(func(m *south.Machine) { m.Ungated(index, why) })
		return
	}
	progress := e.progress()
	e.do(func(m *south.Machine) { m.Gated(index, progress) })
}

// progress is how far the kernel's sockets of the protected ports have come; nil if they
// cannot be asked.
func (e *Engine) progress() map[segment.Flow]south.Progress {
	e.mu.Lock()
	ports := e.machine.Ports()
	e.mu.Unlock()
	if len(ports) == 0 {
		return nil
	}
	list, err := sockdiag.Progress(ports)
	if err != nil {
		e.log.Debug("the progress of sockets is not known", "error", err)
		return nil
	}
	all := make(map[segment.Flow]south.Progress, len(list))
	for f, p := range list {
		all[f] = south.Progress(p)
	}
	return all
}
