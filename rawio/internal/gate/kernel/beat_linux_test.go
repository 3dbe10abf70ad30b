package kernel

import (
	"errors"
	"testing"

	"github.com/ftnet/ftnet/rawio/internal/gate"
)

// TestEpoch: the record is the youngest engine's. An older one does not get it back, and its heart
// no longer beats there.
func TestEpoch(t *testing.T) {
	record := &engineRecord{}
	beat := func(epoch uint64) error {
		_, err := (&Gate{engine: record, config: Config{Epoch: epoch}}).Beat()
		return err
	}
	for _, epoch := range []uint64{7, 7, 9} {
		must(t, record.take(Config{ID: "00000001", Epoch: epoch}))
		must(t, beat(epoch))
	}
	was := record.beat.Load()
	if err := beat(7); !errors.Is(err, gate.ErrTakenOver) || record.beat.Load() != was {
		t.Errorf("the older engine beats: %v", err)
	}
	if err := record.take(Config{ID: "00000002", Epoch: 8}); !errors.Is(err, gate.ErrTakenOver) || record.id[7] != '1' {
		t.Errorf("an older engine takes it: %v", err)
	}
	must(t, beat(9))
}
