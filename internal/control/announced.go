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

// told is what the handler has been told of a listener.
type told struct {
	asked  stage // by the peer
	heard  stage // by the handler, which may have refused the rest
	answer Answer
}

// announced tells the handler what is new in an announcement. Listeners come in its order, those that are
// gone before them. An error is the answer to all of it.
func (s *Server) announced(p *Peer, m Announcement) (Announced, error) {
	if p.told == nil {
		p.told = map[uint64]*told{}
	}
	r := Announced{Listeners: make([]Answer, 0, len(m.Listeners))}
	here := make(map[uint64]bool, len(m.Listeners))
	for _, l := range m.Listeners {
		here[l.ID] = true
	}
	for _, id := range slices.Sorted(maps.Keys(p.told)) {
		if here[id] {
			continue
		}
		heard := p.told[id].heard
		delete(p.told, id)
		if heard == protected || heard == listens {
			if err := s.Handler.Closed(p, Closed{ID: id}); err != nil {
				return r, err
			}
		}
	}
	for _, l := range m.Listeners {
		t := p.told[l.ID]
		if t == nil {
			t = &told{answer: Answer{ID: l.ID}}
			p.told[l.ID] = t
		}
		if err := s.tell(p, t, l); err != nil {
			t.answer.Refused = asError(err)
		}
		r.Listeners = append(r.Listeners, t.answer)
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
func (s *Server) tell(p *Peer, t *told, l Listener) error {
	to := l.stage()
	if to <= t.asked {
		return nil
	}
	t.asked = to
	if t.heard == nothing {
		if err := s.Handler.Protect(p, l.Protect); err != nil {
			return err
		}
		t.heard = protected
	}
	switch to {
	case left:
		t.heard = left
	case listens:
		r, err := s.Handler.Listening(p, *l.Listens)
		if err != nil {
			return err
		}
		t.heard, t.answer.Recovering = listens, r.Recovering
	}
	return nil
}
