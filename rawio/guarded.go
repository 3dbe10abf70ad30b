package rawio

import (
	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/rawio/internal/south"
)

// guarded is called by links with the interfaces on which packets may bypass the gate and
// the reasons; an empty reason means that they no longer do.
func (e *Engine) guarded(news map[int]string) {
	var regained []int
	e.do(func(m *south.Machine) {
		for index, why := range news {
			if why == "" {
				regained = append(regained, index)
			} else {
				m.Ungated(index, why)
			}
		}
	})
	if len(regained) == 0 {
		return
	}
	progress := e.progress()
	e.do(func(m *south.Machine) {
		for _, index := range regained {
			m.Gated(index, progress)
		}
	})
	e.trials.repeatAt(regained)
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
	list, err := e.table.Progress(ports)
	if err != nil {
		e.log.Debug("socket progress unknown", "error", err)
		return nil
	}
	all := make(map[segment.Flow]south.Progress, len(list))
	for f, p := range list {
		all[f] = south.Progress(p)
	}
	return all
}
