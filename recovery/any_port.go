package recovery

import (
	"github.com/ftnet/ftnet/internal/control"
)

// Listeners on any port (port 0). The kernel gives a restarted process another port, while
// the clients of the previous process wait at the old one. So the new process gets the old
// port's number and binds to it, if that port can only be this listener's: both processes
// have asked for any port of the address exactly once. A listener that got another one's
// clients would answer them wrongly.

var _ control.Rememberer = north{}

// Former returns the port that a process is to bind to.
func (n north) Former(p *control.Peer, m control.Protect) (control.Former, error) {
	s := n.s
	s.mu.Lock()
	defer s.mu.Unlock()
	asked := s.asked[p.ID]
	if asked == nil {
		asked = map[string]int{}
		s.asked[p.ID] = asked
	}
	asked[m.Asked]++
	if asked[m.Asked] > 1 {
		for _, pt := range s.ports { // nobody can tell the two apart next time
			if pt.owner == p.ID && pt.asked == m.Asked {
				pt.ambiguous = true
			}
		}
		return control.Former{}, nil
	}
	var port uint16
	for number, pt := range s.ports {
		if pt.asked != m.Asked || pt.compare != m.Compare || pt.left || pt.expiring || pt.ambiguous || pt.owner == p.ID || !s.dead(pt.owner) {
			continue
		}
		if port == 0 || s.ports[port].crashedAt.Before(pt.crashedAt) { // of several, that of the last process
			port = number
		}
	}
	return control.Former{Port: port}, nil
}
