package oplog

import (
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
)

// Log is an engine's log. It is an hclog.Logger; those that are made of it
// (Named, With) have its limits in common with it.
type Log struct {
	hclog.Logger
	limit *limiter
	sink  *sink
}

var _ hclog.Logger = (*Log)(nil)

// Open makes a log of that level whose lines go to w. From then on this process
// does not end by SIGPIPE: what nobody reads is lost, not the engine. Its children
// get the signal as ever. Close it last.
func Open(name string, level hclog.Level, w io.Writer) *Log {
	// Caught, not ignored: to ignore is inherited by server processes. The channel
	// is full at the second one, which is right.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	return newLog(name, level, w)
}

func newLog(name string, level hclog.Level, w io.Writer) *Log {
	s := newSink(w, name)
	return &Log{
		Logger: hclog.New(&hclog.LoggerOptions{Name: name, Level: level, Output: s}),
		limit:  newLimiter(), sink: s,
	}
}

// Close tells what was left out and writes what is queued. It waits for a second
// at most. What is logged later is lost.
func (l *Log) Close() {
	l.limit.end()
	l.sink.close()
}

// Lost is how many lines could not be written. Those that were left out because
// they repeat others are not among them.
func (l *Log) Lost() uint64 { return l.sink.lost.Load() }

// Log writes a line, unless enough like it were written lately. Lines for
// debugging are not limited: who asks for them wants them all.
func (l *Log) Log(level hclog.Level, msg string, args ...any) {
	if level < hclog.Info {
		l.Logger.Log(level, msg, args...)
		return
	}
	if own := l.GetLevel(); own == hclog.Off || level < own {
		return
	}
	key, short := kindOf(level, l.Name(), msg, slices.Concat(l.ImpliedArgs(), args))
	ok, out := l.limit.pass(key, short, time.Now(), func(out uint64) {
		l.Logger.Log(level, "lines left out", "message", msg, "lines", out)
	})
	if !ok {
		return
	}
	if out > 0 {
		args = append(slices.Clip(args), "left_out", out)
	}
	l.Logger.Log(level, msg, args...)
}

func (l *Log) Trace(msg string, args ...any) { l.Log(hclog.Trace, msg, args...) }
func (l *Log) Debug(msg string, args ...any) { l.Log(hclog.Debug, msg, args...) }
func (l *Log) Info(msg string, args ...any)  { l.Log(hclog.Info, msg, args...) }
func (l *Log) Warn(msg string, args ...any)  { l.Log(hclog.Warn, msg, args...) }
func (l *Log) Error(msg string, args ...any) { l.Log(hclog.Error, msg, args...) }

func (l *Log) Named(name string) hclog.Logger      { return l.of(l.Logger.Named(name)) }
func (l *Log) ResetNamed(name string) hclog.Logger { return l.of(l.Logger.ResetNamed(name)) }
func (l *Log) With(args ...any) hclog.Logger       { return l.of(l.Logger.With(args...)) }

// of makes one that writes through to.
func (l *Log) of(to hclog.Logger) *Log { return &Log{Logger: to, limit: l.limit, sink: l.sink} }
