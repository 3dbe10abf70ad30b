package rawio

import (
	"net"
	"net/netip"
	"time"

	"github.com/ftnet/ftnet/internal/journal"
	"github.com/ftnet/ftnet/logserver"
)

// What the core asks of its environment for connections that come from the log.

func (v *environment) Restore(slot, gen uint32, f Flow, reads []logserver.ReadRun) error {
	runs := make([]journal.ReadRun, len(reads))
	for i, r := range reads {
		runs[i] = journal.ReadRun(r)
	}
	return v.journal(slot).Restore(slot, gen, journal.Flow(f), runs)
}

// readsTold is how many of a connection's reads the log is told of at once.
const readsTold = 512

func (v *environment) NewReads(slot uint32) (lengths []uint32, total int64) {
	if v.reads == nil {
		v.reads = make([]uint32, 0, readsTold)
	}
	return v.journal(slot).NewReads(slot, v.reads[:0])
}

// addresses are those of this host, as they were a moment ago.
type addresses struct {
	at   time.Time
	list map[netip.Addr]bool
}

// addressesAge is how old they may be.
const addressesAge = 100 * time.Millisecond

func (v *environment) Local(server netip.AddrPort) bool {
	if v.local(server.Addr()) {
		return true
	}
	transparent, err := v.e.gate.Transparent(server.Port())
	return err == nil && transparent
}

// local reports whether an address is one of this host's.
func (v *environment) local(a netip.Addr) bool {
	if now := time.Now(); now.Sub(v.addresses.at) > addressesAge {
		list, err := net.InterfaceAddrs()
		if err != nil {
			v.e.log.Debug("addresses not listed", "error", err)
			return true // what is sent in vain does no harm
		}
		v.addresses = addresses{at: now, list: make(map[netip.Addr]bool, len(list))}
		for _, n := range list {
			if p, err := netip.ParsePrefix(n.String()); err == nil {
				v.addresses.list[p.Addr().WithZone("").Unmap()] = true
			}
		}
	}
	return a.IsLoopback() || v.addresses.list[a.WithZone("").Unmap()]
}
