package daemon

import (
	"context"
	"errors"

	"github.com/ftnet/ftnet/internal/admin"
)

var errEnding = &admin.Error{Code: admin.CodeEnding, Message: "the daemon is about to end"}

// command carries out a client's request. A change that has begun continues when the
// client disconnects.
func (d *daemon) command(ctx context.Context, r admin.Request, w *admin.Writer) error {
	if r.Command == admin.Reload {
		d.log.Info("reload requested")
		return answer(d.reload(func(text string) { _ = w.Say(text) }))
	}
	u, err := d.unit(r.Service)
	if err != nil {
		return err
	}
	if r.Command == admin.Logs {
		return sendLogs(ctx, u.log, r, w)
	}
	d.log.Info(string(r.Command)+" requested", "service", u.name)
	var said string
	switch r.Command {
	case admin.Restart:
		said, err = u.restart(d.ctx, nil)
	case admin.Stop:
		said, err = u.stop(d.ctx)
	case admin.Start:
		said, err = u.start(d.ctx)
	}
	if err != nil {
		return answer(err)
	}
	return w.Say(said)
}

// answer turns an error into the reply for a client.
func answer(err error) error {
	var invalid *ConfigError
	switch {
	case errors.As(err, &invalid):
		e := &admin.Error{Code: admin.CodeConfig, Message: invalid.Error() + "; nothing was changed"}
		for _, d := range invalid.Diagnostics {
			e.Diagnostics = append(e.Diagnostics, d.String())
		}
		return e
	case errors.Is(err, errRuns), errors.Is(err, errRunsNot):
		return &admin.Error{Code: admin.CodeState, Message: err.Error()}
	case errors.Is(err, context.Canceled), errors.Is(err, errRemoved):
		return &admin.Error{Code: admin.CodeEnding, Message: err.Error()}
	}
	return err
}
