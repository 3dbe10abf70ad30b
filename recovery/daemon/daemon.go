package daemon

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/ftnet/ftnet/internal/admin"
	"github.com/ftnet/ftnet/internal/sdnotify"
	"github.com/ftnet/ftnet/recovery/config"
)

// lastWords is how long what services have written may take to be passed on
// when the daemon ends.
const lastWords = 2 * time.Second

// daemon runs the services of a file.
type daemon struct {
	load   func() (*config.File, error) // the file as it is now; a *ConfigError if it is not valid
	host   host
	adds   adder // to host
	out    io.Writer
	log    hclog.Logger
	notify *notify.Notifier
	ctx    context.Context // ends when the daemon begins to
	wg     sync.WaitGroup  // all that runs beside the units
	moved  chan struct{}   // has room for one; filled when a unit's state changes

	reloading sync.Mutex // held by a reload

	mu     sync.Mutex // guards what follows
	file   *config.File
	units  map[string]*unit
	ending bool
	ready  bool // the service manager has been told so
}

func newDaemon(ctx context.Context, h host, add adder, f *config.File) *daemon {
	return &daemon{host: h, adds: add, file: f, ctx: ctx, log: hclog.NewNullLogger(), out: io.Discard,
		units: map[string]*unit{}, moved: make(chan struct{}, 1)}
}

// begin starts the services of the file. One that cannot be started does not keep
// the others from it.
func (d *daemon) begin() error {
	units, err := d.addAll()
	if err != nil {
		return err
	}
	for _, u := range units {
		u.op.Lock()
		_ = u.launch() // its state says so, and watch tells; a command may have come first
		u.op.Unlock()
	}
	if d.ctx.Err() != nil { // what waited for the log was given up
		return nil
	}
	d.host.Settled()
	d.wg.Go(d.watch)
	return nil
}

// addAll makes the units of the file. A reload waits for it.
func (d *daemon) addAll() ([]*unit, error) {
	d.reloading.Lock()
	defer d.reloading.Unlock()
	var units []*unit
	for _, c := range d.file.Services {
		u, err := d.add(c)
		if err != nil {
			return nil, err
		}
		units = append(units, u)
	}
	return units, nil
}

// add makes a unit, which does not run yet.
func (d *daemon) add(c config.Service) (*unit, error) {
	u, err := newUnit(d.host, d.adds, c, d.out, d.wake)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	if d.ending {
		d.mu.Unlock()
		return nil, errors.Join(errEnding, u.remove())
	}
	d.units[c.Name] = u
	d.mu.Unlock()
	return u, nil
}

// unit returns that of a name.
func (d *daemon) unit(name string) (*unit, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch u := d.units[name]; {
	case d.ending:
		return nil, errEnding
	case u == nil:
		return nil, &admin.Error{Code: admin.CodeUnknown, Message: d.unknown(name)}
	default:
		return u, nil
	}
}

// end stops all services at the same time, waits for their ends, and returns
// what had become of those that did not last till now.
func (d *daemon) end() error {
	d.mu.Lock()
	d.ending = true
	units := d.unitList()
	d.mu.Unlock()
	errs := make([]error, len(units))
	var wg sync.WaitGroup
	for i, u := range units {
		wg.Go(func() { errs[i] = u.remove() })
	}
	wg.Wait()
	failed := &FailedError{Services: map[string]error{}}
	for _, u := range units {
		if err := u.failure(); err != nil {
			failed.Services[u.name] = err
		}
	}
	late, cancel := context.WithTimeout(context.Background(), lastWords)
	defer cancel()
	for _, u := range units {
		select {
		case <-u.passed:
		case <-late.Done(): // out is stuck
		}
	}
	d.wg.Wait()
	if len(failed.Services) > 0 {
		errs = append(errs, failed)
	}
	return errors.Join(errs...)
}
