package rawio

import (
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/ftnet/ftnet/rawio/internal/south"
)

// A rule set of this host may pass the SYNs of clients and drop those that the engine
// sends in their names (because of their Ethernet source, for instance). To find that out
// before a crash, the engine makes trials: for each service, interface and address
// family it begins a handshake as in a recovery, and ends it when the kernel has
// answered (trial.go). trial_ends.go chooses the addresses.
//
//	           a server listens, a client has connected, a rule set was changed, time passes
//	                    ▼
//	untried ─────► under trial ──► answered
//	                    ▲   │
//	                    │   ▼ not answered: its connections are not protected
//	                    └── unanswered

const (
	// trialEvery is after what time a trial that was answered is repeated.
	trialEvery = 10 * time.Minute
	// unansweredEvery is the same for one that was not, at first: it doubles up to trialEvery.
	unansweredEvery = 5 * time.Second
	// undecidedEvery is the same while the listener accepts no connections.
	undecidedEvery = time.Second
	// entrancesEvery is the longest time between two searches for new entrances: addresses come
	// and go.
	entrancesEvery = time.Minute
	// trialsPause is the shortest time between two rounds of trials because of changed rule sets.
	trialsPause = 5 * time.Second
)

// entrance is where clients' packets for a port arrive: an interface and an address family.
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
	Loopback  bool   // only a SYN on loopback was answered
	Untried   bool   // there is no result
	Reason    string // why it was not answered, or not tried
	Since     time.Time
}

// whyNoClient is why an entrance was not tried.
const whyNoClient = "no client's address is known there"

// trials are the engine's trial handshakes.
type trials struct {
	*handshaker // nil before the engine is open
	wakeup      chan struct{}
	// watchRules is openNFTNews; trialLoop closes what it returns.
	watchRules func() *nftNews

	mu  sync.Mutex // guards what follows; the engine's lock may be held, and is not taken under it
	all map[entrance]*trial
}

// trial is what is known of an entrance.
type trial struct {
	name      string // of the interface
	answered  bool
	loopback  bool   // on loopback only
	noClient  bool   // no trial was possible: no client's address is known
	why       string // why there was no answer; empty: there was one
	since     time.Time
	due       time.Time // zero: at once
	requested bool      // another trial was requested since the last one began
	pause     time.Duration
	client    netip.Addr // the newest client; invalid: none yet
	server    netip.Addr // the address that it has dialled
	byClient  bool       // the result is from a trial with a client's address
}

// request makes a trial due at once; if one is under way, another one follows.
func (v *trial) request() { v.due, v.requested = time.Time{}, true }

// postpone sets the time of the next trial, unless one was requested while the last was under way.
func (v *trial) postpone(until time.Time) {
	if !v.requested {
		v.due = until
	}
}

// begin returns the state of an entrance that is to be tried, nil if it is gone, and the address of
// the newest client that has connected there.
func (t *trials) begin(at entrance) (v *trial, names []netip.Addr) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if v = t.all[at]; v == nil {
		return nil, nil
	}
	v.requested = false
	if v.client.IsValid() {
		names = []netip.Addr{v.client}
	}
	return v, names
}

func newTrials() trials {
	return trials{wakeup: make(chan struct{}, 1), watchRules: openNFTNews, all: map[entrance]*trial{}}
}

// wake makes the loop check at once.
func (t *trials) wake() { ring(t.wakeup) }

// repeat makes all trials of a port due at once, or all trials if port is 0.
func (t *trials) repeat(port uint16) {
	t.mu.Lock()
	for at, v := range t.all {
		if port == 0 || at.port == port {
			v.request()
			v.pause = 0
		}
	}
	t.mu.Unlock()
	t.wake()
}

// repeatAt makes all trials on some interfaces due at once.
func (t *trials) repeatAt(interfaces []int) {
	t.mu.Lock()
	for at, v := range t.all {
		if slices.Contains(interfaces, at.ifindex) {
			v.request()
		}
	}
	t.mu.Unlock()
	t.wake()
}

// noteClient notes the address of a client that was answered, for the next trials.
func (t *trials) noteClient(f Flow, ifindex int) {
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
		v.request()
		t.wake()
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
		case v.noClient:
			h.Untried, h.Reason = true, whyNoClient
		default:
			continue
		}
		list = append(list, h)
	}
	return list
}

// trialLoop makes the trials that are due.
func (e *Engine) trialLoop() {
	var (
		news            *nftNews
		changedAt, rest time.Time // of a change of rule sets, and until when another one has to wait
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
			changedAt = time.Now()
		case <-e.trials.wakeup:
		case <-timer.C:
		}
		now := time.Now()
		if !changedAt.IsZero() && !now.Before(rest) {
			changedAt, rest = time.Time{}, now.Add(trialsPause)
			e.log.Debug("rule sets changed; trial handshakes are repeated")
			e.trials.repeat(0)
		}
		next := e.try(now)
		if !changedAt.IsZero() && rest.Before(next) {
			next = rest
		}
		timer.Reset(time.Until(next))
	}
}

// try makes the trials that are due, and returns when to call it again.
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

// mayTry returns the ports at which trials are allowed: a server listens there.
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
// section, so that a new service at the port does not get the previous one's result.
func (e *Engine) concluded(at entrance, v *trial, found verdict, byClient bool) {
	var first, was, known bool
	e.do(func(m *south.Machine) {
		if first, was, known = e.trials.conclude(at, v, found, byClient, time.Now()); known {
			m.TrialResult(at.port, at.ifindex, at.v6, found.why)
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

// conclude records the result of a trial. It returns whether that was the first one
// of the entrance, and whether the previous one was answered; known is false if the trial has no
// result, or the entrance was dropped meanwhile.
func (t *trials) conclude(at entrance, v *trial, found verdict, byClient bool, now time.Time) (first, was, known bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.all[at] != v {
		return false, false, false
	}
	first, was = v.since.IsZero(), v.answered
	switch found.kind {
	case undecided:
		v.postpone(now.Add(undecidedEvery))
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
	v.postpone(now.Add(v.pause))
	if first || was != v.answered {
		v.since = now
	}
	return first, was, true
}
