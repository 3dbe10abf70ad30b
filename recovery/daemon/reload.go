package daemon

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/hashicorp/go-hclog"

	"github.com/ftnet/ftnet/recovery/config"
)

// reload reads the file again and applies the changes; say is called once for each
// change that was made, one call at a time. A file that is not valid (a *ConfigError)
// changes nothing. A change of one service that fails does not prevent the others.
func (d *daemon) reload(say func(string)) error {
	d.reloading.Lock()
	defer d.reloading.Unlock()
	d.mu.Lock()
	ready, old := d.ready, d.file
	d.mu.Unlock()
	if ready { // else the first word of all is still to come
		d.tell(d.notify.Reloading())
		defer func() {
			d.mu.Lock()
			units := d.unitList()
			d.mu.Unlock()
			d.tell(d.notify.Ready(summary(units)))
		}()
	}
	next, err := d.load()
	if err != nil {
		d.log.Error("not reloaded, nothing was changed", "error", err)
		var invalid *ConfigError
		if errors.As(err, &invalid) {
			for _, diagnostic := range invalid.Diagnostics {
				d.log.Error(diagnostic.String())
			}
		}
		return err
	}
	a := &applying{d: d, say: say}
	a.apply(next, old.Diff(next))
	d.mu.Lock()
	d.file = d.inForce(next)
	d.mu.Unlock()
	d.wake()
	return errors.Join(a.errs...)
}

// inForce returns what is now in force of a file: what takes a restart of ftnet,
// and services that could not be changed, are as before, so that the next reload
// sees to them again. d.mu is held.
func (d *daemon) inForce(next *config.File) *config.File {
	f := *next
	f.Log, f.Engine = d.file.Log, d.file.Engine
	f.Engine.LogLevel = next.Engine.LogLevel
	f.Services = slices.Clone(next.Services)
	for i := range f.Services {
		if u := d.units[f.Services[i].Name]; u != nil {
			f.Services[i] = u.config()
		}
	}
	return &f
}

// applying is one reload.
type applying struct {
	d *daemon

	mu   sync.Mutex // guards what follows
	say  func(string)
	errs []error
}

// apply makes the changes. Services are removed first, because new ones may need their
// ports.
func (a *applying) apply(next *config.File, c config.Changes) {
	if c.Empty() {
		a.done("nothing has changed", nil)
		return
	}
	for _, key := range c.Live {
		if key == "engine.log-level" {
			a.d.log.SetLevel(hclog.LevelFromString(next.Engine.LogLevel))
			a.done(key+": "+next.Engine.LogLevel, nil)
		}
	}
	for _, key := range c.Restart {
		a.done(key+": changed, but takes effect only when ftnet is started again", nil)
	}
	each(c.Removed, func(s *config.Service) { a.done(a.d.removeUnit(s.Name)) })
	each(c.Changed, func(change config.Change) { a.done(a.d.change(change)) })
	each(c.Added, func(s *config.Service) { a.done(a.d.addAndStart(*s)) })
}

// done tells what was done, or keeps why it was not.
func (a *applying) done(text string, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err != nil {
		a.d.log.Error("reload", "error", err)
		a.errs = append(a.errs, err)
		return
	}
	a.d.log.Info("reload", "done", text)
	a.say(text)
}

// removeUnit stops a service and forgets it.
func (d *daemon) removeUnit(name string) (string, error) {
	u, err := d.unit(name)
	if err != nil {
		return "", err
	}
	d.mu.Lock()
	delete(d.units, name)
	d.mu.Unlock()
	if err := u.remove(); err != nil {
		return "", fmt.Errorf("%s: removed, but: %w", name, err)
	}
	return name + ": removed", nil
}

// change gives a service its new configuration.
func (d *daemon) change(c config.Change) (text string, err error) {
	u, err := d.unit(c.New.Name)
	if err != nil {
		return "", err
	}
	if len(c.Restart) > 0 {
		text, err = u.restart(d.ctx, c.New)
	} else {
		text, err = u.update(*c.New)
	}
	keys := slices.Concat(c.Restart, c.Policy)
	return text + " (" + strings.Join(keys, ", ") + ")", err
}

// addAndStart starts a service that is new.
func (d *daemon) addAndStart(c config.Service) (string, error) {
	u, err := d.add(c)
	if err != nil {
		return "", err
	}
	return u.start(d.ctx)
}

// each calls f for all of list at the same time and waits.
func each[T any](list []T, f func(T)) {
	var wg sync.WaitGroup
	for _, x := range list {
		wg.Go(func() { f(x) })
	}
	wg.Wait()
}
