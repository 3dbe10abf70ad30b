package daemon

import (
	"context"

	"github.com/ftnet/ftnet/internal/admin"
	"github.com/ftnet/ftnet/internal/supervisor/output"
)

// logsAtOnce is how many lines are taken from a log at a time.
const logsAtOnce = 128

// sendLogs sends a client the last lines of a log, and, if it follows, those that
// come until it goes or the log is closed.
func sendLogs(ctx context.Context, log *output.Log, r admin.Request, w *admin.Writer) error {
	lines, next := log.Tail(r.Lines)
	if err := sendLines(lines, w); err != nil || !r.Follow {
		return err
	}
	for log.Wait(ctx, next) == nil {
		var missed uint64
		lines, next, missed = log.Read(lines[:0], next, logsAtOnce)
		if missed > 0 {
			if err := w.Missed(missed); err != nil {
				return err
			}
		}
		if err := sendLines(lines, w); err != nil {
			return err
		}
	}
	return nil
}

func sendLines(lines []output.Line, w *admin.Writer) error {
	for _, l := range lines {
		if err := w.Line(admin.Line{Time: l.Time, Stream: l.Stream.String(), Text: l.Text, Partial: l.Partial}); err != nil {
			return err
		}
	}
	return nil
}
