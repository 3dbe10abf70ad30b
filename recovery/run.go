package recovery

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/ftnet/ftnet/internal/supervisor"
	"github.com/ftnet/ftnet/recovery/config"
)

// Run runs a service, the only one of its engine, until it ends: it opens the engine and
// its log, supervises the command, and recovers its connections after each crash. The
// end of ctx asks the command to stop. Standard input is ftnet's own if in says nothing.
// The result is that of supervisor.Supervisor.Run, or says why the engine could not be
// opened. A signal that comes while the log is waited for ends it as one to the command
// does; in.Signals are by default those of this process. However Run ends, nothing of the
// engine stays behind. See OpenHost for what it means for other children of this process.
func Run(ctx context.Context, host HostConfig, service config.Service, in Inherit) error {
	if in.Signals == nil {
		signals, unsubscribe := supervisor.Subscribe()
		defer unsubscribe()
		in.Signals = signals
	}
	if in.Stdin == nil {
		in.Stdin = os.Stdin
	}
	early := newEarlySignals(in.Signals)
	defer early.close()
	in.Signals = early.passed
	// A mistyped command is told before the kernel is asked for anything.
	if err := in.check(&service); err != nil {
		return err
	}
	host.Name, host.Services, host.Unmodified = service.Name, []config.Service{service}, service.Mode == config.ModeUnmodified
	h, err := OpenHost(host)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, h.GiveUp) // Add may wait for the log
	early.onStop(h.GiveUp)
	s, err := h.Add(service, in)
	stop()
	if err == nil {
		h.Settled()
		err = s.Run(ctx)
	} else if sig := early.stop(); sig != 0 && errors.Is(err, context.Canceled) {
		err = &supervisor.ExitError{Exit: supervisor.Exit{Kind: supervisor.Stopped, Signal: sig, At: time.Now()}}
	}
	return errors.Join(err, h.Close())
}
