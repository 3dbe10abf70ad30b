package logserver

import "sync"

// wipeInline is how many bytes are wiped by whoever frees them. More would
// keep the engine from its packets (64 MiB take several milliseconds), so a
// goroutine does it, which ends when nothing is left to wipe. What waits for it
// is not counted as occupied any more.
const wipeInline = 64 << 10

// dirty is a freed chunk whose first used bytes hold client data.
type dirty struct {
	chunk
	used int
}

type wiper struct {
	arena *arena
	mu    sync.Mutex // guards queue and running
	queue []dirty
	// running tells that a goroutine takes from queue.
	running bool
	done    sync.WaitGroup
}

// wipe zeroes the chunks and then gives them to the arena.
func (w *wiper) wipe(chunks []dirty) {
	total := 0
	for _, d := range chunks {
		total += d.used
	}
	if total <= wipeInline {
		w.wipeNow(chunks)
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.queue = append(w.queue, chunks...)
	if !w.running {
		w.running = true
		w.done.Go(w.run)
	}
}

func (w *wiper) run() {
	for {
		w.mu.Lock()
		batch := w.queue
		w.queue = nil
		if len(batch) == 0 {
			w.running = false
			w.mu.Unlock()
			return
		}
		w.mu.Unlock()
		// One by one: the first megabyte is free again before the last is wiped.
		for i := range batch {
			w.wipeNow(batch[i : i+1])
		}
	}
}

func (w *wiper) wipeNow(chunks []dirty) {
	for _, d := range chunks {
		clear(d.bytes()[:d.used])
		w.arena.release(d.chunk)
	}
}

// wait returns when nothing is left to wipe. No call of wipe may begin meanwhile.
func (w *wiper) wait() { w.done.Wait() }
