package control

import (
	"maps"
	"slices"
)

// stage is how far a listener is; each follows from the one before.
type stage int

const (
	nothing stage = iota
	protected
	listens
	left // closed before this engine; its connections may be there
)

func (l *Listener) stage() stage {
	switch {
	case l.Left:
		return left
	case l.Listens != nil:
		return listens
	}
	return protected
}

// progress is how far the handler was brought with a listener.
type progress struct {
	asked   stage // by the peer
	reached stage // with the handler, which may have refused the rest
	answer  Answer
}

// announced calls the handler for what is new in an announcement. Listeners come in its order, those that are
// gone before them. An error is the answer to all of it.
func (s *Server) announced(p *Peer, m Announcement) (Announced, error) {
	if p.progress == nil {
		p.progress = map[uint64]*progress{}
	}
	r := Announced{Listeners: make([]Answer, 0, len(m.Listeners))}
	here := make(map[uint64]bool, len(m.Listeners))
	for _, l := range m.Listeners {
		here[l.ID] = true
	}
	for _, id := range slices.Sorted(maps.Keys(p.progress)) {
		if here[id] {
			continue
		}
		reached := p.progress[id].reached
		delete(p.progress, id)
		if reached == protected || reached == listens {
			if err := s.Handler.Closed(p, Closed{ID: id}); err != nil {
				return r, err
			}
		}
	}
	for _, l := range m.Listeners {
		at := p.progress[l.ID]
		if at == nil {
			at = &progress{answer: Answer{ID: l.ID}}
			p.progress[l.ID] = at
		}
		if err := s.tell(p, at, l); err != nil {
			at.answer.Refused = asError(err)
		}
		r.Listeners = append(r.Listeners, at.answer)
	}
	if h, ok := s.Handler.(Successor); ok && p.Hello.Resume && !p.resumed {
		if err := h.Resumed(p); err != nil {
			return r, err
		}
		p.resumed = true
	}
	return r, nil
}

// tell brings the handler as far as the listener is. What it has refused it is not asked again.
func (s *Server) tell(p *Peer, at *progress, l Listener) error {
	to := l.stage()
	if to <= at.asked {
		return nil
	}
	at.asked = to
	if at.reached == nothing {
		if err := s.Handler.Protect(p, l.Protect); err != nil {
			return err
		}
		at.reached = protected
	}
	switch to {
	case left:
		at.reached = left
	case listens:
		r, err := s.Handler.Listening(p, *l.Listens)
		if err != nil {
			return err
		}
		at.reached, at.answer.Recovering = listens, r.Recovering
	}
	return nil
}
