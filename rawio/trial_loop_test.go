package rawio

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/ftnet/ftnet/internal/sockdiag"
)

// TestEntrancesKept: what is known of an entrance is kept while the gate is to be put back on
// the interface, and while the server is away, and dropped with the interface or with what
// listened there.
func TestEntrancesKept(t *testing.T) {
	const eth0, eth1 = 2, 3
	server := netip.MustParseAddr("192.0.2.1")
	at := entrance{80, eth0, false}
	listening := func(to string) []sockdiag.Listener {
		return []sockdiag.Listener{{Address: netip.MustParseAddrPort(to)}}
	}
	for _, test := range []struct {
		name       string
		interfaces map[int]string
		list       map[entrance]netip.Addr
		listeners  []sockdiag.Listener
		gone       bool
	}{
		{"as it was", map[int]string{eth0: "eth0"}, map[entrance]netip.Addr{at: server}, listening("0.0.0.0:80"), false},
		{"no server", map[int]string{eth0: "eth0"}, nil, nil, false},
		{"another port's server", map[int]string{eth0: "eth0"}, map[entrance]netip.Addr{}, listening("0.0.0.0:81"), false},
		{"interface is gone", map[int]string{eth1: "eth1"}, map[entrance]netip.Addr{}, listening("0.0.0.0:80"), true},
		{"interface is gone, no server", map[int]string{eth1: "eth1"}, nil, nil, true},
		{"listens elsewhere", map[int]string{eth0: "eth0"}, map[entrance]netip.Addr{}, listening("127.0.0.1:80"), true},
	} {
		t.Run(test.name, func(t *testing.T) {
			tr := newTrials()
			tr.all[at] = &trial{name: "eth0", why: "was not answered"}
			gone := tr.update(test.list, test.listeners, test.interfaces)
			if slices.Contains(gone, at) != test.gone || (tr.all[at] == nil) != test.gone {
				t.Errorf("gone: %v; left: %v", gone, tr.all)
			}
		})
	}
}

// TestRegainedTriesAnew: when the gate is on an interface again, its handshakes are due.
func TestRegainedTriesAnew(t *testing.T) {
	tr, later := newTrials(), time.Now().Add(time.Hour)
	for _, ifindex := range []int{2, 3} {
		tr.all[entrance{80, ifindex, false}] = &trial{due: later}
	}
	tr.repeatAt([]int{2})
	for at, v := range tr.all {
		if v.due.IsZero() != (at.ifindex == 2) {
			t.Errorf("by interface %d it is due at %v", at.ifindex, v.due)
		}
	}
	<-tr.wakeup
}

// TestTrialOfServiceBefore: what a trial has found is not told of a service that has come to the
// port since; and the first thing that is found is told, whatever it is.
func TestTrialOfServiceBefore(t *testing.T) {
	at, now := entrance{80, 2, false}, time.Unix(1, 0)
	bar, answer := verdict{kind: unanswered, why: "was not answered"}, verdict{kind: answered}
	tr := newTrials()
	conclude := func(v *trial, found verdict, want bool) {
		t.Helper()
		if _, _, known := tr.conclude(at, v, found, false, now); known != want {
			t.Errorf("%+v: told is %v, want %v", found, known, want)
		}
	}
	old := &trial{}
	tr.all[at] = old
	tr.forget(at.port)
	conclude(old, bar, false)
	tr.noteClient(Flow{Client: netip.MustParseAddrPort("192.0.2.9:9"), Server: netip.MustParseAddrPort("192.0.2.1:80")}, at.ifindex)
	conclude(old, bar, false)
	if v := tr.all[at]; v.why != "" || !v.since.IsZero() {
		t.Errorf("the new service's: %+v", v)
	}
	conclude(tr.all[at], verdict{}, false)
	conclude(tr.all[at], answer, true)
	conclude(tr.all[at], bar, true)
}

// TestAskedDuringTrial: what happens while a trial is under way asks for another one: it is not
// answered by what the first finds.
func TestAskedDuringTrial(t *testing.T) {
	at, now := entrance{80, 2, false}, time.Unix(1, 0)
	client := Flow{Client: netip.MustParseAddrPort("192.0.2.9:9"), Server: netip.MustParseAddrPort("192.0.2.1:80")}
	for name, asks := range map[string]func(*trials){
		"nothing":      nil,
		"rules":        func(tr *trials) { tr.repeat(0) },
		"gate is back": func(tr *trials) { tr.repeatAt([]int{2}) },
		"client":       func(tr *trials) { tr.noteClient(client, 2) },
	} {
		for _, found := range []verdict{{kind: answered}, {kind: unanswered, why: "was refused"}, {kind: undecided}} {
			tr := newTrials()
			tr.all[at] = &trial{}
			v, _ := tr.begin(at)
			if asks != nil {
				asks(&tr)
			}
			tr.conclude(at, v, found, false, now)
			if v.due.IsZero() != (asks != nil) {
				t.Errorf("%s, %+v: the next one is due at %v", name, found, v.due)
			}
		}
	}
}
