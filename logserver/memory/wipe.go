package memory

import (
	"sync"
	"sync/atomic"
	"time"
)

// Little is wiped by whoever frees it. More would keep the engine from its
// packets (64 MiB take several milliseconds) and compete with them for the
// memory's bandwidth, so a goroutine does it: a little at a time while the log
// is written to, quickly when it is not, and at once beyond wiper.limit. What
// waits for it is not counted as occupied any more, and is the first to be used
// again: what is overwritten need not be wiped.
const (
	wipeInline = 64 << 10 // bytes
	wipePeriod = 20 * time.Millisecond
	wipeBusy   = 1 << 20 // bytes a period: a GiB takes 20 s
	wipeIdle   = 8 << 20
	// wipeIdleAfter is how many periods without a write make the log idle.
	wipeIdleAfter = 5
)

// dirty is a freed chunk whose first used bytes hold client data.
type dirty struct {
	chunk
	used int
}

type wiper struct {
	arena  *arena
	limit  int64        // bytes that may wait
	writes atomic.Int64 // counts calls of Write

	mu    sync.Mutex // guards the fields below
	queue [classes][]dirty
	turn  int   // class that is wiped next
	bytes int64 // in queue
	// running tells that a goroutine takes from queue.
	running bool
	hurry   bool // wipe without a pause
	dropped bool // wipe no more: the arena's memory goes back to the kernel
	wake    chan struct{}
	done    sync.WaitGroup
}

// wipe zeroes the chunks, now or soon, and then gives them to the arena.
func (w *wiper) wipe(chunks []dirty) {
	total := 0
	for _, d := range chunks {
		total += d.used
	}
	if total <= wipeInline {
		for _, d := range chunks {
			w.wipeNow(d)
		}
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, d := range chunks {
		class := &w.queue[d.slab.shift-minShift]
		*class = append(*class, d)
		w.bytes += int64(d.size())
	}
	if !w.running {
		w.running = true
		w.wake = make(chan struct{}, 1)
		w.done.Go(w.run)
	}
	if w.bytes > w.limit {
		w.rouse()
	}
}

// rouse ends the pause of run. w.mu is held.
func (w *wiper) rouse() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *wiper) run() {
	period := time.NewTicker(wipePeriod)
	defer period.Stop()
	idle := 0
	for last := w.writes.Load(); ; {
		select {
		case <-period.C:
			idle++
		case <-w.wake:
		}
		if now := w.writes.Load(); now != last {
			last, idle = now, 0
		}
		budget := wipeBusy
		if idle >= wipeIdleAfter {
			budget = wipeIdle
		}
		if !w.some(budget) {
			return
		}
	}
}

// some wipes about that many bytes, and more if there is a hurry. It reports
// whether something is left.
func (w *wiper) some(budget int) bool {
	for {
		w.mu.Lock()
		if w.bytes == 0 || w.dropped {
			w.running = false
			w.mu.Unlock()
			return false
		}
		if budget <= 0 && !w.hurry && w.bytes <= w.limit {
			w.mu.Unlock()
			return true
		}
		d := w.oldest()
		w.mu.Unlock()
		w.wipeNow(d)
		budget -= d.used
	}
}

// oldest takes a chunk from the queue, which is not empty. The sizes take
// turns, so that each chunk gets its turn. w.mu is held.
func (w *wiper) oldest() dirty {
	for {
		w.turn = (w.turn + 1) % classes
		if class := &w.queue[w.turn]; len(*class) > 0 {
			d := (*class)[0]
			*class = (*class)[1:]
			w.bytes -= int64(d.size())
			return d
		}
	}
}

// reuse returns a chunk of 1<<shift bytes that was to be wiped, with what it
// holds marked as stale, and whether there was one. It is the one freed last,
// the likeliest to be in the processor's cache.
func (w *wiper) reuse(shift uint8) (chunk, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	class := &w.queue[shift-minShift]
	if len(*class) == 0 {
		return chunk{}, false
	}
	d := pop(class)
	w.bytes -= int64(d.size())
	d.stale = uint32(d.used)
	return d.chunk, true
}

func (w *wiper) wipeNow(d dirty) {
	clear(d.bytes()[:d.used])
	w.arena.release(d.chunk)
}

// wait wipes without a pause and returns when nothing is left. No call of wipe
// may begin meanwhile.
func (w *wiper) wait() {
	w.end(&w.hurry)
	w.hurry = false
}

// drop ends the wiping; the memory must be unmapped next.
func (w *wiper) drop() { w.end(&w.dropped) }

func (w *wiper) end(how *bool) {
	w.mu.Lock()
	*how = true
	if w.running {
		w.rouse()
	}
	w.mu.Unlock()
	w.done.Wait()
}
