package daemon

import (
	"context"
	"errors"

	"github.com/ftnet/ftnet/recovery/daemon/admin"
	"github.com/ftnet/ftnet/recovery/daemon/output"
)

// logsAtOnce is how many lines are taken from a log at a time.
const logsAtOnce = 128

// sendLogs sends a client the last lines of a log, and, if it follows, those that
// come until it goes or the log is closed.
func sendLogs(ctx context.Context, log *output.Log, r admin.Request, w *admin.Writer) error {
	from := log.Last(r.Lines)
	end := log.Last(0) // where one that does not follow stops
	var lines []output.Line
	for r.Follow || from < end {
		if err := log.Wait(ctx, from); errors.Is(err, output.ErrClosed) || ctx.Err() != nil {
			return nil
		}
		limit := logsAtOnce
		if !r.Follow {
			limit = min(limit, int(end-from))
		}
		var missed uint64
		lines, from, missed = log.Read(lines[:0], from, limit)
		if missed > 0 {
			if err := w.Missed(missed); err != nil {
				return err
			}
		}
		for _, l := range lines {
			if err := w.Line(admin.Line{Time: l.Time, Stream: l.Stream.String(), Text: l.Text, Partial: l.Partial}); err != nil {
				return err
			}
		}
	}
	return nil
}
