package rawio

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ftnet/ftnet/logserver"
)

// TestReadsLoop: a log that lasts is told how servers have read: soon while they have more to read,
// later when they have nothing, and not after Close.
func TestReadsLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newLastingLog(t))
		r.protects()
		_, l := r.serve()
		client, _ := r.connect(l)
		r.says(client, make([]byte, 100))
		ended := r.goes(r.readsLoop)
		id := r.conn().ID
		var want []logserver.ReadRun
		// reads has the server read, and the log know of it after a time, and not before.
		reads := func(n int, after time.Duration) {
			t.Helper()
			r.record.RecordRead(n)
			know := func(what string) {
				t.Helper()
				synctest.Wait()
				got, err := r.cfg.Log.Reads(id)
				if diff := cmp.Diff(want, got); diff != "" || err != nil {
					t.Errorf("%s of a read of %d: %v (-want +got):\n%s", what, n, err, diff)
				}
			}
			time.Sleep(after - time.Nanosecond)
			know("before the log should know")
			want = append(want, logserver.ReadRun{Length: uint32(n), Count: 1})
			time.Sleep(time.Nanosecond)
			know("when the log should know")
		}
		const rare = 20 * readsPeriod
		reads(10, rare)
		reads(20, readsPeriod)         // there is more to read
		reads(70, readsPeriod)         // now all is read
		time.Sleep(4*readsPeriod + 10) // and nothing since then
		r.says(client, make([]byte, 3))
		r.record.RecordRead(3)
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * rare)
		if got, _ := r.cfg.Log.Reads(id); len(got) != len(want) || !isClosed(ended) {
			t.Errorf("after Close the log knows %v; ended: %v", got, isClosed(ended))
		}
	})
}
