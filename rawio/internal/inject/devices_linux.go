package inject

import (
	"sync"
	"time"
)

// devices knows for a while what Config.Device says of devices.
type devices struct {
	config Config

	mu   sync.Mutex
	list map[int]known // guarded by mu
}

type known struct {
	device Device
	ok     bool
	until  time.Time
}

// How long a word of Config.Device counts. A device that goes down meanwhile is
// noticed when a packet is given to it.
const (
	knownFor   = time.Second
	unknownFor = 100 * time.Millisecond
)

func (d *devices) open(c Config) { d.config, d.list = c, make(map[int]known) }

func (d *devices) get(index int) (Device, bool) {
	if index == 0 {
		return Device{}, false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	k, ok := d.list[index]
	if !ok || !now.Before(k.until) {
		k = known{until: now.Add(unknownFor)}
		if k.device, k.ok = d.config.Device(index); k.ok {
			k.until = now.Add(knownFor)
		}
		d.list[index] = k
	}
	return k.device, k.ok
}

// drop says that a device does not take packets.
func (d *devices) drop(index int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.list[index] = known{until: time.Now().Add(unknownFor)}
}

// leaves reports whether a packet to a client can be given to the device. Loopback is
// not one: without its route attached a packet is a martian there.
func (d *devices) leaves(index int) bool {
	_, ok := d.get(index)
	return ok && index != Loopback
}

// carrier returns the device that is given a packet which is to arrive by a device:
// loopback, which takes the longest packets and which none can leave, or the device
// itself. 0: there is none.
func (d *devices) carrier(index int) int {
	if index == Loopback {
		return 0
	}
	if _, ok := d.get(index); !ok {
		return 0
	}
	if _, ok := d.get(Loopback); ok {
		return Loopback
	}
	return index
}

// header returns the Ethernet header of a packet for a device, its length, 0 if the
// device that is given the packet has none, and the index of that.
func (d *devices) header(index int, turns bool, etherType uint16) (h [14]byte, length, by int) {
	v, _ := d.get(index)
	by = index
	if turns {
		by = d.carrier(index)
		from := d.config.Turn(index)
		copy(h[0:], v.MAC[:])
		copy(h[6:], from[:])
	}
	h[12], h[13] = byte(etherType>>8), byte(etherType)
	if by == index && !v.Ethernet {
		return h, 0, by
	}
	return h, len(h), by
}
