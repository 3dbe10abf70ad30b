package daemon

import (
	"context"
	"time"

	"github.com/hashicorp/go-hclog"
)

// watchdog calls works each interval, and alive when works has returned nil. For an
// engine that is stuck or has failed alive is not called, and the service manager
// restarts it. watchdog returns when ctx ends; works may then still run.
func watchdog(ctx context.Context, interval time.Duration, works, alive func() error, log hclog.Logger) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		err, ok := ask(ctx, tick.C, works, log)
		switch {
		case !ok:
			return
		case err != nil:
			log.Error("engine failed; watchdog not notified", "error", err)
		default:
			if err := alive(); err != nil {
				log.Warn("watchdog not notified", "error", err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// ask waits for works to return, however long that takes, and logs once if it takes
// longer than a tick. ok is false if ctx ended first.
func ask(ctx context.Context, tick <-chan time.Time, works func() error, log hclog.Logger) (err error, ok bool) {
	answer := make(chan error, 1)
	go func() { answer <- works() }()
	for begin, late := time.Now(), false; ; {
		select {
		case <-ctx.Done():
			return nil, false
		case err := <-answer:
			return err, true
		case <-tick:
			if !late {
				log.Error("engine not responding; watchdog not notified", "for", time.Since(begin))
			}
			late = true
		}
	}
}
