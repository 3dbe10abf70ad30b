package rawio

import (
	"slices"
	"testing"

	"github.com/ftnet/ftnet/internal/reason"
	"github.com/ftnet/ftnet/rawio/internal/south"
)

// TestReports: of what the core reports the engine's owner is told what it counts, and nothing
// that is the engine's own.
func TestReports(t *testing.T) {
	r := newRig(t, nil)
	tell := func(rep south.Report) []Report {
		r.told = nil
		rep.Port, rep.Flow = rigPort, rigFlow
		r.env.Report(rep)
		return r.told
	}
	for kind := south.ConnOpened; kind <= south.ConnImpossible; kind++ {
		var want []Report
		if own, told := reportKinds[kind]; told {
			want = []Report{{Kind: own, Port: rigPort, Flow: rigFlow}}
		}
		if got := tell(south.Report{Kind: kind}); !slices.Equal(got, want) {
			t.Errorf("kind %d of the core: %+v, want %+v", kind, got, want)
		}
	}
	for want, rep := range map[Report]south.Report{
		{Kind: ConnUnprotected, Reason: reason.LogFull.With("64 KiB"), Why: string(reason.LogFull)}: {
			Kind: south.ConnUnprotected, Reason: reason.LogFull.With("64 KiB"), Why: reason.LogFull, Kept: true, Logged: 7},
		{Kind: ConnCrashed, PID: 12, Code: 139}: {Kind: south.ConnCrashed, PID: 12, Code: 139, ID: 3},
	} {
		want.Port, want.Flow = rigPort, rigFlow
		if got := tell(rep); !slices.Equal(got, []Report{want}) {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
}
