package disk

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/internal/disk/internal/faultfs"
)

// TestFlippedBits: what is whole is used, what is not is said, and no read ever
// returns other bytes.
func TestFlippedBits(t *testing.T) {
	runs := 1000
	if testing.Short() {
		runs = 200
	}
	said := 0
	for seed := range uint64(runs) {
		n, err := flipRun(seed)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		said += n
	}
	t.Logf("%d logs, of which %d said that something is lost", runs, said)
}

func flipRun(seed uint64) (said int, err error) {
	r := rand.New(rand.NewPCG(seed, 4))
	w := &world{
		r: r, fs: faultfs.New(seed), conns: map[logserver.ConnID]*modelConn{}, ids: map[logserver.ConnID]bool{},
	}
	if seed%2 == 0 {
		w.key = make([]byte, 32)
	}
	if err := w.open(); err != nil {
		return 0, err
	}
	for range 60 {
		if err := w.act(); err != nil {
			return 0, err
		}
	}
	w.sync()
	head := "" // of a log that was not closed
	if h := w.log.files.writer.head; h != nil {
		head = h.path
	}
	if r.IntN(2) == 0 {
		head = ""
		if err := w.log.Close(); err != nil {
			return 0, err
		}
	} else {
		w.fs = w.fs.Kill(seed)
	}
	var flips string
	inHead := false
	for range 1 + r.IntN(3) {
		path, off := w.fs.Flip(r, segmentSuffix)
		inHead = inHead || path == head
		flips += fmt.Sprintf(" %s:%d", path, off)
	}
	before := len(w.warn)
	for round := range 2 {
		if err := w.open(); err != nil {
			// Only a header that is damaged in just that way may keep a log
			// from opening: its version, or its key.
			return 0, fmt.Errorf("Open after%s: %w", flips, err)
		}
		whole, err := w.damaged()
		if err != nil {
			return 0, fmt.Errorf("round %d after%s: %w", round, flips, err)
		}
		// What the last batch of a log that was not closed has lost cannot be
		// told from a torn write.
		if !whole && round == 0 && len(w.warn) == before && !inHead {
			return 0, fmt.Errorf("after%s something is missing, and nothing was said", flips)
		}
		if len(w.warn) > before {
			said = 1
		}
		w.fs = w.fs.Kill(seed)
	}
	return said, nil
}

// damaged compares what is left with the model, and reports whether all is.
func (w *world) damaged() (whole bool, err error) {
	whole = true
	for id, c := range w.conns {
		start, end, err := w.log.Length(id)
		if err != nil {
			whole = whole && (c.gone || !c.open)
			continue
		}
		if end > int64(len(c.data)) || start > end {
			return false, fmt.Errorf("connection %d: Length is %d..%d of %d", id, start, end, len(c.data))
		}
		if end < c.stable || c.stableGone {
			whole = false
		}
		p := make([]byte, end-start)
		n, err := w.log.Read(id, p, start)
		if !bytes.Equal(p[:n], c.data[start:start+int64(n)]) {
			return false, fmt.Errorf("connection %d: other bytes", id)
		}
		if err == nil && n < len(p) {
			return false, fmt.Errorf("connection %d: %d of %d bytes, and no error", id, n, len(p))
		}
		if err != nil {
			whole = false
		}
	}
	return whole, nil
}
