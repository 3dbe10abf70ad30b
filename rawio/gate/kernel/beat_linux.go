package kernel

import (
	"fmt"
	"sync/atomic"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/rawio/gate/bpf"
)

// engineRecord is struct engine in bpf/alive.h: what the gate knows of its
// engine, in memory that both map.
type engineRecord struct {
	layout    atomic.Uint32
	secret    atomic.Uint32
	id        [8]byte
	beat      atomic.Uint64
	deadAfter atomic.Uint64
	mark      atomic.Uint32
	carrier   atomic.Uint32
}

// mapEngine maps the record; unmap the memory in the end.
func mapEngine(m *ebpf.Map) (*engineRecord, []byte, error) {
	memory, err := unix.Mmap(m.FD(), 0, unix.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, nil, err
	}
	return (*engineRecord)(unsafe.Pointer(&memory[0])), memory, nil
}

// take makes the record that of a living engine.
func (r *engineRecord) take(config Config) error {
	now, err := monotonic()
	if err != nil {
		return err
	}
	r.beat.Store(now)
	r.deadAfter.Store(uint64(config.DeadAfter))
	copy(r.id[:], config.ID)
	r.secret.Store(newSecret())
	r.mark.Store(config.Mark)
	r.carrier.Store(0)
	if config.LoopbackCarries {
		r.carrier.Store(1)
	}
	r.layout.Store(bpf.Layout)
	return nil
}

// Beat says that the engine lives. It returns true if the gate has taken it for
// dead since the last time: then [gate.Slot.Opened] tells which connections it has let
// go meanwhile. Without Config.DeadAfter it never does.
func (g *Gate) Beat() (late bool) {
	now, err := monotonic()
	if err != nil {
		return false // cannot be: the clock is there
	}
	last, deadAfter := g.engine.beat.Swap(now), g.engine.deadAfter.Load()
	return deadAfter > 0 && now-last > deadAfter
}

// monotonic is the clock of bpf_ktime_get_ns.
func monotonic() (uint64, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return 0, fmt.Errorf("gate: clock: %w", err)
	}
	return uint64(ts.Nano()), nil
}
