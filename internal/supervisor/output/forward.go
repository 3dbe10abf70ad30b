package output

import (
	"context"
	"fmt"
	"io"
)

// forwardLines is how many lines are written at once, at most.
const forwardLines = 256

// Forward writes the lines of log to w, each with prefix before it and in whole
// lines, until the log is closed (nil) or ctx ends. Lines that w did not take, and those that
// the log has dropped because w is slow, are counted in a line of their own.
func Forward(ctx context.Context, log *Log, prefix string, w io.Writer) error {
	var (
		from  uint64
		lines []Line
		text  []byte
		lost  uint64 // not written, and not told
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
		if lost += missed; lost > 0 {
			text = fmt.Appendf(text, "%s(%d lines lost)\n", prefix, lost)
		}
		for _, line := range lines {
			text = append(append(append(text, prefix...), line.Text...), '\n')
		}
		clear(lines)
		if _, err := w.Write(text); err != nil {
			lost += uint64(len(lines)) // who reads it has gone, and may come back
		} else {
			lost = 0
		}
	}
}
