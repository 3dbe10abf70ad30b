package recovery

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/ftnet/ftnet/internal/sockdiag"
	"github.com/ftnet/ftnet/recovery/config"
)

// How often the kernel is asked whether an unmodified server listens: at first
// often, because all its clients wait, then less and less. Nothing tells of a
// new listener without asking: sock_diag has groups for sockets that end (sockdiag.Ends), and none
// for those that begin; inotify sees no sockets; and the bind of a socket, which a cgroup's program
// could tell (post_bind), comes before it listens. What could is a program of the kind that the gate
// has for releases: sock_ops with BPF_SOCK_OPS_TCP_LISTEN_CB, which runs in listen(2) just before the
// socket takes connections, so that one look would still have to follow.
const (
	listenPollFirst = time.Millisecond
	listenPollLast  = 10 * time.Millisecond
	listenPollKeep  = 100 // polls at one period, before it grows by as much again
)

// listenPatience is how long a server may take to listen before it is said that
// one waits for it.
const listenPatience = 10 * time.Second

// silentPeriod is how often it is looked whether a server that has not said that it
// listens does so without ftnet.
const silentPeriod = 3 * time.Second

// watching is the observation of one process: whether it listens, and is ready.
type watching struct {
	cancel context.CancelFunc
	done   chan struct{}
}

// watch begins to observe a process that has just started.
func (s *Service) watch(pid int) {
	ctx, cancel := context.WithCancel(context.Background())
	w := &watching{cancel: cancel, done: make(chan struct{})}
	s.mu.Lock()
	s.watching = w
	s.mu.Unlock()
	go func() {
		defer close(w.done)
		if s.socket != "" {
			s.watchNorth(ctx, pid)
		} else {
			s.watchSockets(ctx, pid)
		}
	}()
}

// unwatch ends it; nothing of it is under way when unwatch returns.
func (s *Service) unwatch() {
	s.mu.Lock()
	w := s.watching
	s.watching = nil
	s.mu.Unlock()
	if w != nil {
		w.cancel()
		<-w.done
	}
}

// watchNorth probes a server that says itself that it listens, and tells of one that
// does not say so.
func (s *Service) watchNorth(ctx context.Context, pid int) {
	began := time.Now()
	silence := time.NewTicker(silentPeriod)
	defer silence.Stop()
	for waits := false; ; {
		s.mu.Lock()
		running, probe, changed := s.process.state == Running, s.cfg.Ready.Probe, s.changed
		s.mu.Unlock()
		if running && probe != config.ProbeListening {
			break
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-silence.C:
			if running || s.tellsPlain(pid) {
				silence.Stop()
			} else if !waits && time.Since(began) > listenPatience {
				waits = true
				s.log.Warn("the server does not listen yet", "pid", pid)
			}
		}
	}
	if s.probe(ctx) {
		s.mu.Lock()
		s.process.ready = true
		s.notify()
		s.mu.Unlock()
	}
}

// tellsPlain says, once for the service, that its server listens without ftnet, if it
// does.
func (s *Service) tellsPlain(pid int) bool {
	sockets := s.unlisted(pid)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(sockets) == 0 || s.process.state == Running {
		return false
	}
	if !s.toldPlain {
		s.toldPlain = true
		s.log.Warn("the server listens without having called ftnet.Listen: none of its connections is protected; "+
			"--unmodified --listen ADDRESS protects a server that knows nothing of ftnet", "addresses", addresses(sockets), "pid", pid)
	}
	return true
}

// addresses lists where sockets listen.
func addresses(sockets map[netip.AddrPort]int) string {
	var list []string
	for _, a := range slices.SortedFunc(maps.Keys(sockets), netip.AddrPort.Compare) {
		list = append(list, a.String())
	}
	return strings.Join(list, ", ")
}

// watchSockets waits until an unmodified server listens and is ready, port by
// port if nothing is to be probed.
func (s *Service) watchSockets(ctx context.Context, pid int) {
	s.mu.Lock()
	waiting, probe := slices.Clone(s.listen), s.cfg.Ready.Probe
	ports := portsOf(waiting)
	s.mu.Unlock()
	began, warned := time.Now(), false
	looked := began
	for poll := newPoll(); ; {
		sockets, err := sockdiag.Listeners(ports)
		if err != nil {
			s.log.Warn("listening sockets not listed", "error", err)
		}
		if fresh := due(&waiting, sockets); len(fresh) > 0 && probe == config.ProbeListening {
			s.serves(pid, fresh)
		}
		if len(waiting) == 0 {
			break
		}
		if time.Since(looked) >= namespacePeriod {
			if err := s.host.home.elsewhere(pid, ports); err != nil {
				s.fail(ctx, err)
				return
			}
			looked = time.Now()
		}
		if !warned && time.Since(began) > listenPatience {
			warned = true
			if others := s.unlisted(pid); len(others) > 0 {
				s.log.Warn("the server does not listen where it should, but elsewhere; is --listen, or listen in the configuration, right?",
					"addresses", addressList(waiting), "elsewhere", addresses(others), "pid", pid)
			} else {
				s.log.Warn("the server does not listen yet", "addresses", addressList(waiting), "pid", pid)
			}
		}
		if !poll.wait(ctx) {
			return
		}
	}
	if probe != config.ProbeListening {
		if !s.probe(ctx) {
			return
		}
		s.mu.Lock()
		s.process.ready = true
		s.mu.Unlock()
		s.serves(pid, ports)
	}
	s.watchUnlisted(ctx, pid)
}

// due takes the addresses that are served out of waiting and returns the ports
// that have none left there.
func due(waiting *[]netip.AddrPort, sockets []sockdiag.Listener) []uint16 {
	var met []netip.AddrPort
	*waiting = slices.DeleteFunc(*waiting, func(a netip.AddrPort) bool {
		ok := served(a, sockets)
		if ok {
			met = append(met, a)
		}
		return ok
	})
	left := portsOf(*waiting)
	return slices.DeleteFunc(portsOf(met), func(n uint16) bool { return slices.Contains(left, n) })
}

// serves begins the recovery of ports that an unmodified server serves.
func (s *Service) serves(pid int, ports []uint16) {
	for _, n := range ports {
		s.mu.Lock()
		p := s.ports[n]
		p.listening, p.address = true, s.addressesOf(n)
		s.listens(pid)
		s.mu.Unlock()
		recovering := s.host.engine.Listening(n)
		s.mu.Lock()
		s.process.recovering += recovering
		s.notify()
		s.mu.Unlock()
		s.log.Info("listening", "address", p.address, "pid", pid, "recovering", recovering)
	}
}

// addressesOf returns the configured addresses with a port. s.mu is held.
func (s *Service) addressesOf(n uint16) string {
	var list []string
	for i, a := range s.listen {
		if a.Port() == n {
			list = append(list, s.cfg.Listen[i])
		}
	}
	return strings.Join(list, ", ")
}

// poll is a period that grows.
type poll struct {
	period time.Duration
	n      int
}

func newPoll() *poll { return &poll{period: listenPollFirst} }

// wait waits for one period. It returns false when ctx has ended.
func (p *poll) wait(ctx context.Context) bool {
	if p.n++; p.n%listenPollKeep == 0 {
		p.period = min(p.period+listenPollFirst, listenPollLast)
	}
	select {
	case <-ctx.Done():
		return false
	case <-time.After(p.period):
		return true
	}
}
