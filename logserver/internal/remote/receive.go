package remote

import (
	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/internal/wire"
)

// receive deals with what the server says until the link ends: first with what
// it said at the beginning. All upcalls of a link are made here.
func (l *Log) receive(k *link, states []wire.State, lost []logserver.Upcall) error {
	l.announce(0)
	if len(lost) > 0 {
		l.warnLost(len(lost))
		l.up.Tell(lost)
	}
	l.reachedOnce.Do(func() { close(l.contact) })
	l.up.Tell(l.news(states, nil))
	states = nil
	var ups []logserver.Upcall
	for {
		f, err := k.next()
		if err != nil {
			return err
		}
		switch {
		case f.Type == wire.TypeStates:
			if states, err = wire.ParseStates(f, states[:0]); err == nil {
				ups = l.news(states, ups[:0])
				l.up.Tell(ups)
			}
		case f.Type >= wire.TypeBytes:
			err = l.answered(f)
		default:
			err = l.notice(f)
		}
		if err != nil {
			return err
		}
	}
}

// notice deals with a frame that tells of no connection and answers nothing.
func (l *Log) notice(f wire.Frame) error {
	switch f.Type {
	case wire.TypeAlive:
		return nil
	case wire.TypeStatus:
		s, err := wire.ParseStatus(f)
		if err != nil {
			return err
		}
		l.mu.Lock()
		l.server = s
		l.mu.Unlock()
		l.announce(0)
		return nil
	case wire.TypeFenced:
		name, err := wire.ParseFenced(f)
		if err != nil {
			return err
		}
		l.mu.Lock()
		news := !l.fenced(name)
		if news {
			close(l.fence(name))
		}
		l.mu.Unlock()
		if news {
			l.cfg.Warn("another engine has taken over the service", "service", name)
		}
		l.announce(0)
		return nil
	}
	return f.Malformed()
}
