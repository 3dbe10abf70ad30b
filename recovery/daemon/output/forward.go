package output

import (
	"context"
	"fmt"
	"io"
)

// forwardLines is how many lines are written at once, at most.
const forwardLines = 256

// Forward writes the lines of log to w, each with prefix before it and in whole
// lines, until the log is closed (nil), ctx ends or w fails. If w is slow,
// lines that the log has dropped meanwhile are counted in a line of their own.
func Forward(ctx context.Context, log *Log, prefix string, w io.Writer) error {
	var (
		from  uint64
		lines []Line
		text  []byte
	)
	for {
		if err := log.Wait(ctx, from); err == ErrClosed {
			return nil
		} else if err != nil {
			return err
		}
		var missed uint64
		lines, from, missed = log.Read(lines[:0], from, forwardLines)
		text = text[:0]
		if missed > 0 {
			text = fmt.Appendf(text, "%s(%d lines lost)\n", prefix, missed)
		}
		for _, line := range lines {
			text = append(append(append(text, prefix...), line.Text...), '\n')
		}
		clear(lines)
		if _, err := w.Write(text); err != nil {
			return err
		}
	}
}
