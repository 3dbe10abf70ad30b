package rawio

import (
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/ftnet/ftnet/rawio/south"
)

// A rule set of this host may let the SYNs of clients pass and not those that the engine
// sends in their names (by their Ethernet source, for instance). So that this is known
// before a crash, the engine tries it out: once for each service, interface and address
// family it begins a handshake as in a recovery, and takes it back when the kernel has
// answered (trial.go). Whose name it takes is found out in trial_ends.go.
//
//	           a server listens, a client has come, a rule set was changed, time passes
//	                    ▼
//	untried ─────► under trial ──► answered
//	                    ▲   │
//	                    │   ▼ not answered: its connections are not protected
//	                    └── unanswered

const (
	// trialEvery is after what time a handshake that was answered is tried again.
	trialEvery = 10 * time.Minute
	// unansweredEvery is the same of one that was not, at first: it doubles up to trialEvery.
	unansweredEvery = 5 * time.Second
	// undecidedEvery is the same while the listener takes none.
	undecidedEvery = time.Second
	// entrancesEvery is how often it is looked for new entrances at least: addresses come
	// and go.
	entrancesEvery = time.Minute
	// trialsPause is the shortest time between two changes of rule sets that lead to trials.
	trialsPause = 5 * time.Second
)

// entrance is how clients come to a service.
type entrance struct {
	port    uint16
	ifindex int
	v6      bool
}

func (e entrance) network() string {
	if e.v6 {
		return "tcp6"
	}
	return "tcp4"
}

// Handshake is the result of a trial: whether the kernel answers handshakes that the engine
// begins in clients' names. If it does not, no connection is recovered.
type Handshake struct {
	Port      uint16
	Interface string
	Network   string // tcp4, tcp6
	Answered  bool
	Loopback  bool   // only what came by loopback was answered
	Untried   bool   // nothing is known
	Reason    string // why it was not answered, or not tried
	Since     time.Time
}

// whyNameless is why an entrance was not tried.
const whyNameless = "no client's address is known there"

// trials are the handshakes that the engine tries out.
type trials struct {
	*handshaker // none before the engine is open
	kick        chan struct{}
	// watchRules is openNFTNews; trialLoop closes what it returns.
	watchRules func() *nftNews

	mu  sync.Mutex // guards what follows; the engine's lock may be held, and is not taken under it
	all map[entrance]*trial
}

// trial is what is known of an entrance.
type trial struct {
	name     string // of the interface
	answered bool
	loopback bool   // by loopback only
	nameless bool   // it was not tried: no client's address is known
	why      string // of no answer; empty: it was answered
	since    time.Time
	due      time.Time // zero: at once
	asked    bool      // for another trial since the last one began, which does not count for that
	pause    time.Duration
	client   netip.Addr // the newest that came; invalid: none yet
	server   netip.Addr // where it came to
	byClient bool       // what is known was found in a client's name
}

// ask has a trial made at once, and once more if one is under way.
func (v *trial) ask() { v.due, v.asked = time.Time{}, true }

// rest has the next trial wait, unless one was asked for while the last was under way.
func (v *trial) rest(until time.Time) {
	if !v.asked {
		v.due = until
	}
}

// begin returns an entrance that is to be tried, nil if there is none any more, and the name of
// the newest client that has come by it.
func (t *trials) begin(at entrance) (v *trial, names []netip.Addr) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if v = t.all[at]; v == nil {
		return nil, nil
	}
	v.asked = false
	if v.client.IsValid() {
		names = []netip.Addr{v.client}
	}
	return v, names
}

func newTrials() trials {
	return trials{kick: make(chan struct{}, 1), watchRules: openNFTNews, all: map[entrance]*trial{}}
}

// hurry makes the loop check at once.
func (t *trials) hurry() { ring(t.kick) }

// again has a port's handshakes tried anew, or all if it is 0.
func (t *trials) again(port uint16) {
	t.mu.Lock()
	for at, v := range t.all {
		if port == 0 || at.port == port {
			v.ask()
			v.pause = 0
		}
	}
	t.mu.Unlock()
	t.hurry()
}

// regained has the handshakes by interfaces tried anew on which the gate is again.
func (t *trials) regained(interfaces []int) {
	t.mu.Lock()
	for at, v := range t.all {
		if slices.Contains(interfaces, at.ifindex) {
			v.ask()
		}
	}
	t.mu.Unlock()
	t.hurry()
}

// came notes that a client has been answered: its name is the best to try.
func (t *trials) came(f Flow, ifindex int) {
	if ifindex == 0 {
		return
	}
	at := entrance{f.Server.Port(), ifindex, f.Server.Addr().Is6()}
	t.mu.Lock()
	defer t.mu.Unlock()
	v := t.all[at]
	if v == nil {
		v = &trial{}
		t.all[at] = v
	}
	v.client, v.server = f.Client.Addr(), f.Server.Addr()
	if !v.byClient {
		v.ask()
		t.hurry()
	}
}

// forget drops what is known of a port.
func (t *trials) forget(port uint16) {
	t.mu.Lock()
	defer t.mu.Unlock()
	maps.DeleteFunc(t.all, func(at entrance, _ *trial) bool { return at.port == port })
}

// Handshakes returns the results of the engine's trial handshakes, and the trials that could
// not be made, in no order. Without a listener there is no result: a result belongs to the
// listener.
func (e *Engine) Handshakes() (list []Handshake) {
	listens := map[uint16]bool{}
	e.mu.Lock()
	for _, p := range e.machine.Ports() {
		listens[p] = e.machine.Listens(p)
	}
	e.mu.Unlock()
	e.trials.mu.Lock()
	defer e.trials.mu.Unlock()
	for at, v := range e.trials.all {
		if !listens[at.port] {
			continue
		}
		h := Handshake{Port: at.port, Interface: v.name, Network: at.network()}
		switch {
		case !v.since.IsZero():
			h.Answered, h.Loopback, h.Reason, h.Since = v.answered, v.loopback, v.why, v.since
		case v.nameless:
			h.Untried, h.Reason = true, whyNameless
		default:
			continue
		}
		list = append(list, h)
	}
	return list
}

// trialLoop tries what is due.
func (e *Engine) trialLoop() {
	var (
		news        *nftNews
		heard, rest time.Time // of a change of rule sets, and until when another one has to wait
	)
	defer func() {
		if news != nil {
			news.close()
		}
	}()
	timer := time.NewTimer(entrancesEvery)
	defer timer.Stop()
	for {
		if news == nil {
			news = e.trials.watchRules()
		}
		var changed chan struct{}
		if news != nil {
			changed = news.changes
		}
		select {
		case <-e.closing:
			return
		case <-changed:
			heard = time.Now()
		case <-e.trials.kick:
		case <-timer.C:
		}
		now := time.Now()
		if !heard.IsZero() && !now.Before(rest) {
			heard, rest = time.Time{}, now.Add(trialsPause)
			e.log.Debug("rule sets changed; trial handshakes are repeated")
			e.trials.again(0)
		}
		next := e.try(now)
		if !heard.IsZero() && rest.Before(next) {
			next = rest
		}
		timer.Reset(time.Until(next))
	}
}

// try tries the handshakes that are due, and returns when to come again.
func (e *Engine) try(now time.Time) time.Time {
	next := now.Add(entrancesEvery)
	for at, server := range e.entrances() {
		select {
		case <-e.closing:
			return next
		default:
		}
		e.trials.mu.Lock()
		v := e.trials.all[at]
		due := v != nil && !v.due.After(now)
		e.trials.mu.Unlock()
		if due {
			e.tryEntrance(at, server)
		}
		e.trials.mu.Lock()
		if v != nil && v.due.Before(next) {
			next = v.due
		}
		e.trials.mu.Unlock()
	}
	return next
}

// mayTry returns the ports at which a server listens that could be asked.
func (e *Engine) mayTry() (ports []uint16) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, p := range e.machine.Ports() {
		if e.machine.MayOpen(p) {
			ports = append(ports, p)
		}
	}
	return ports
}

// concluded records the result of a trial and passes it to the core, in one critical
// section, so that a new service of the port does not get the previous one's result.
func (e *Engine) concluded(at entrance, v *trial, found verdict, byClient bool) {
	var first, was, known bool
	e.do(func(m *south.Machine) {
		if first, was, known = e.trials.conclude(at, v, found, byClient, time.Now()); known {
			m.Bar(at.port, at.ifindex, at.v6, found.why)
		}
	})
	if !known {
		return
	}
	e.trials.mu.Lock()
	name := v.name
	e.trials.mu.Unlock()
	e.log.Debug("trial handshake finished", "port", at.port, "interface", name, "network", at.network(), "answered", found.why == "")
	switch {
	case found.why != "" && (first || was):
		e.log.Warn("no SYN-ACK for trial handshakes; connections by this interface cannot be recovered "+
			"unless the rule sets accept the SYNs", "port", at.port, "interface", name, "network", at.network(),
			"reason", found.why)
	case found.why == "" && !first && !was:
		e.log.Info("trial handshakes are answered again", "port", at.port, "interface", name, "network", at.network())
	}
}

// conclude takes note of what a trial has found. It returns whether that was the first one
// of the entrance, and whether it was answered before; known is false if the trial has found
// nothing, or the entrance was dropped meanwhile.
func (t *trials) conclude(at entrance, v *trial, found verdict, byClient bool, now time.Time) (first, was, known bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.all[at] != v {
		return false, false, false
	}
	first, was = v.since.IsZero(), v.answered
	switch found.kind {
	case undecided:
		v.rest(now.Add(undecidedEvery))
		return first, was, false
	case answered:
		v.answered, v.why, v.pause = true, "", trialEvery
	default:
		v.answered, v.why, v.pause = false, found.why, min(max(2*v.pause, unansweredEvery), trialEvery)
		if was || first {
			v.pause = unansweredEvery
		}
	}
	v.byClient, v.loopback = byClient, found.loopback
	v.rest(now.Add(v.pause))
	if first || was != v.answered {
		v.since = now
	}
	return first, was, true
}
