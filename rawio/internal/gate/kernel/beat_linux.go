package kernel

import (
	"fmt"
	"sync/atomic"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/rawio/internal/gate"
	"github.com/ftnet/ftnet/rawio/internal/gate/bpf"
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
	epoch     atomic.Uint64
}

// mapEngine maps the record; unmap the memory in the end.
func mapEngine(m *ebpf.Map) (*engineRecord, []byte, error) {
	memory, err := unix.Mmap(m.FD(), 0, unix.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, nil, err
	}
	return (*engineRecord)(unsafe.Pointer(&memory[0])), memory, nil
}

// take makes the record that of a living engine, unless it is a younger one's.
func (r *engineRecord) take(config Config) error {
	if r.epoch.Load() > config.Epoch {
		return fmt.Errorf("%w: epoch %d, after %d", gate.ErrTakenOver, r.epoch.Load(), config.Epoch)
	}
	now, err := monotonic()
	if err != nil {
		return err
	}
	r.epoch.Store(config.Epoch)
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
//
// The error is gate.ErrTakenOver if a younger engine has taken the gate over: nothing was said then,
// slots and services are that one's, and Close leaves them to it.
func (g *Gate) Beat() (late bool, err error) {
	if err := g.engine.owned(g.config.Epoch); err != nil {
		return false, err
	}
	now, err := monotonic()
	if err != nil {
		return false, err // cannot be: the clock is there
	}
	last, deadAfter := g.engine.beat.Swap(now), g.engine.deadAfter.Load()
	return deadAfter > 0 && now-last > deadAfter, nil
}

// owned returns gate.ErrTakenOver unless the record is that of the engine with the epoch.
func (r *engineRecord) owned(epoch uint64) error {
	if now := r.epoch.Load(); now != epoch {
		return fmt.Errorf("%w: epoch %d, after %d", gate.ErrTakenOver, now, epoch)
	}
	return nil
}

// monotonic is the clock of bpf_ktime_get_ns.
func monotonic() (uint64, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return 0, fmt.Errorf("gate: clock: %w", err)
	}
	return uint64(ts.Nano()), nil
}
