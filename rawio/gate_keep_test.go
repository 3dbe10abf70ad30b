package rawio

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/ftnet/ftnet/internal/reason"
	"github.com/ftnet/ftnet/rawio/internal/gate"
)

// TestKeep: what becomes of a part of the gate is said when it changes, and counted.
func TestKeep(t *testing.T) {
	const (
		restored = "[WARN]  engine: gate parts were missing and have been restored: missing=pins reason=\"removed\""
		missing  = "[WARN]  engine: gate parts are missing and cannot be restored: missing=pins"
		again    = "[INFO]  engine: gate parts restored: was missing=pins"
	)
	r := newRig(t, nil)
	removed, refused := errors.New("removed"), errors.New("refused")
	for i, step := range []struct {
		mending
		missing string
		changed bool
		says    string
		mended  uint64
	}{
		{mending{nil, nil}, "", false, "", 0},
		{mending{nil, fmt.Errorf("gate: %w", net.ErrClosed)}, "", false, "", 0},
		{mending{nil, gate.ErrNotSupported}, "", false, "", 0},
		{mending{removed, nil}, "", false, restored, 1},
		{mending{removed, refused}, "refused", true, missing, 1},
		{mending{removed, refused}, "refused", false, "", 1},
		{mending{nil, refused}, "refused", false, "", 1},
		{mending{removed, nil}, "", true, again, 2},
		{mending{nil, nil}, "", false, "", 2},
		{mending{removed, gate.ErrNotSupported}, gate.ErrNotSupported.Error(), true, missing, 2},
		{mending{nil, nil}, "", true, again, 2},
	} {
		r.said.Reset()
		what, changed := r.keep(keepPins, func() (was, err error) { return step.was, step.err })
		if what != step.missing || changed != step.changed || (r.said.String() != "") != (step.says != "") ||
			!strings.Contains(strings.ReplaceAll(r.said.String(), "reason=removed", `reason="removed"`), step.says) {
			t.Errorf("step %d: missing %q, changed %v, said %s", i, what, changed, &r.said)
		}
		lacks, mended := r.keeper.state()
		if lacks[keepPins] != step.missing || mended[keepPins] != step.mended {
			t.Errorf("step %d: the status has %v, %v", i, lacks, mended)
		}
	}
}

// TestKeepLoop: connections of an unmodified server are not protected while nothing notes their
// releases, and that the pins are missing does not matter to them.
func TestKeepLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.protectsUnmodified()
		_, l := r.serve()
		r.dials(l)
		ended := r.goes(r.keepLoop)
		want := func(what string, protected bool) {
			t.Helper()
			r.sleep(proofEvery)
			if c := r.status(); c.Protected != protected || !protected && !strings.HasPrefix(c.Reason, string(reason.Unwatched)) {
				t.Errorf("%s: protected %v, %q", what, c.Protected, c.Reason)
			}
		}
		want("all is there", true)
		r.model.pins = mending{gate.ErrUnpinned, errBroken}
		want("pins are missing", true)
		r.model.releases = mending{gate.ErrUnwatched, errBroken}
		want("releases are not noted", false)
		want("nor later", false)
		r.model.releases = mending{gate.ErrUnwatched, nil}
		want("they are again", true)
		_ = r.Close()
		synctest.Wait()
		if !isClosed(ended) {
			t.Error("the loop goes on")
		}
	})
}
