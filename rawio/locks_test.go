package rawio

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/ftnet/ftnet/internal/sockdiag"
	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/rawio/internal/south"
)

// patientLog tells of calls that may wait.
type patientLog struct {
	*lastingLog
	waits func(what string)
}

func (l *patientLog) Read(id logserver.ConnID, p []byte, off int64) (int, error) {
	l.waits("Read")
	return l.lastingLog.Read(id, p, off)
}

func (l *patientLog) Reads(id logserver.ConnID) ([]logserver.ReadRun, error) {
	l.waits("Reads")
	return l.lastingLog.Reads(id)
}

func (l *patientLog) Active(first, n int) ([]logserver.Meta, error) {
	l.waits("Active")
	return l.lastingLog.Active(first, n)
}

// TestNothingWaitsWithTheLock: what may wait for the kernel or for the log is asked without the
// engine's lock: with it every packet would wait.
func TestNothingWaitsWithTheLock(t *testing.T) {
	var (
		asked []string
		r     *rig
	)
	waits := func(what string) {
		if asked = append(asked, what); r == nil || r.Engine == nil {
			return
		}
		if !r.mu.TryLock() {
			t.Errorf("%s is called with the lock", what)
			return
		}
		r.mu.Unlock()
	}
	log := &patientLog{newLastingLog(t), waits}
	r = newRig(t, log)
	r.model.waits, r.kernel.waits, r.host.waits = waits, waits, waits
	steps := func(name string, f func(), want ...string) {
		t.Helper()
		asked = nil
		f()
		for _, w := range want {
			if !slices.Contains(asked, w) {
				t.Errorf("%s asks %q, not for %s", name, asked, w)
			}
		}
	}
	r.cfg.OutputBuffer = DefaultOutputBuffer
	steps("Protect", r.protects, "a list of sockets")
	steps("Protect", func() {
		if err := r.Protect(Service{Port: 80, Unmodified: true}); err != nil {
			t.Error(err)
		}
	}, "WatchReleases")
	p, l := r.serve()
	client, _ := r.connect(l)
	r.says(client, []byte("hello"))
	steps("ReadLog", func() {
		if n, err := r.ReadLog(r.record.Slot(), r.record.Gen(), anyone, make([]byte, 5), 0); n != 5 {
			t.Error(err)
		}
	}, "Read")
	steps("a fetch", func() {
		c := r.conn()
		r.do(func(*south.Machine) { r.env.Fetch(r.record.Slot(), r.record.Gen(), c.ID, 0, 5) })
		r.wg.Wait()
	}, "Read")
	steps("Snapshot", func() { _, _ = r.Snapshot(true) }, "Aliases", "Listeners", "a list of sockets")
	steps("a look", func() { r.lookForUnseen(func(*sockdiag.Socket) {}) }, "Aliases", "Listeners", "a list of sockets")
	steps("TakeOver", func() {
		if all, err := r.storedConns(t.Context()); len(all) != 1 {
			t.Errorf("the log has %v, %v", all, err)
		}
	}, "Active", "Reads")
	steps("sweep", func() { r.sweep(time.Hour) }, "List")
	steps("a heartbeat", func() { r.late = true; r.beat(r.model) }, "Flows")
	steps("keep", func() { r.keep(keepPins, r.model.MendPins) }, "MendPins")
	steps("trials", func() { r.trials.repeat(0); r.try(time.Now()) }, "Listeners")
	r.links.begun = true
	steps("an interface", func() {
		r.host.add(otherLink, "eth1")
		r.links.news.note(nil)
		r.links.step()
	}, "LinkList", "Attach")
	steps("its end", func() { r.links.changedAt(otherLink, linkChange{gone: true}) }, "Detach", "LinkByIndex")
	steps("a gate put back", func() {
		r.model.mended[rigLink] = errors.New("taken off")
		r.links.lookAt(rigLink)
		for range 3 {
			r.links.step()
		}
	}, "Mend", "Progress")
	steps("Listening", func() { r.crash(p); r.serve(); r.Listening(rigPort) }, "Listeners")
	steps("Serves", func() { r.Release(rigPort); r.Serves(rigPort + 2) }, "Sockets")
	steps("Drain", func() { _ = r.Drain(t.Context(), 81) }, "List")
	steps("Succeed", func() { r.Succeed(rigPort) })
	steps("Unprotect", func() { _ = r.Unprotect(rigPort) })
}
