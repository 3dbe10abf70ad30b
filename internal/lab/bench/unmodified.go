package bench

import (
	"errors"
	"fmt"
	"time"
)

// recoverLimit is how long one recovery may take.
const recoverLimit = time.Minute

// unmodified measures servers that know nothing of ftnet. All worlds but the first are
// protected ones.
func unmodified(c Config, worlds []*world, t *Table) (err error) {
	measured := func(part string) bool { return c.Only == part || c.Only == "" }
	for round := range min(c.Rounds, 3) {
		for w := range turns(worlds[1:], round) {
			for _, l := range c.Logged {
				if !measured("roll-forward") {
					break
				}
				fmt.Fprintf(c.Progress, "roll-forward %d of %d × %d bytes: %s\n", round+1, l.Connections, l.Bytes, w.name)
				if e := w.rollForward(l, t); e != nil {
					err = errors.Join(err, fmt.Errorf("%s: %s: %w", w.name, rollMetric(l), e))
				}
			}
			if !measured("loaded-pause") {
				continue
			}
			fmt.Fprintf(c.Progress, "kill %d of an unmodified server: %s\n", round+1, w.name)
			if e := w.loadedPause(c.Loaded, t); e != nil {
				err = errors.Join(err, fmt.Errorf("%s: %s: %w", w.name, loadedMetric(c.Loaded), e))
			}
		}
	}
	if measured("closing") {
		err = errors.Join(err, closingRates(c, worlds, t))
	}
	return err
}

// rollForward measures how fast logged input reaches a server that only reads:
// all bytes, over the time from the restarted server's listening to the engine's
// word that all connections are live.
func (w *world) rollForward(l Load, t *Table) (err error) {
	t.row(rollMetric(l))
	if err := w.startUnmodified(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.stop()) }()
	clients, err := w.client(Job{Kind: "logged", Count: l.Connections, Bytes: l.Bytes})
	if err != nil {
		return err
	}
	defer clients.stop()
	if err := clients.ready(); err != nil {
		return err
	}
	if err := w.kill(); err != nil {
		return err
	}
	listens, err := w.await(w.listens, "the server does not listen again", recoverLimit)
	if err != nil {
		return err
	}
	recovered, err := w.await(w.recovered, "the service does not recover", recoverLimit)
	if err != nil {
		return err
	}
	if err := clients.proceed(); err != nil {
		return err
	}
	if _, err := clients.result(); err != nil {
		return err
	}
	// The server's time has no monotonic part, so both are wall-clock times.
	mib := float64(l.Bytes) * float64(l.Connections) / (1 << 20)
	t.add(w.column, rollMetric(l), mib/recovered.Sub(listens).Seconds())
	return nil
}

// loadedPause measures how long clients wait when a server with much to be
// repeated is killed, and how much of it is the process's own start: what the
// same server takes from the kill to listening when it has no connections.
func (w *world) loadedPause(l Load, t *Table) error {
	t.row(startTime)
	start, err := w.restartTime()
	if err != nil {
		return err
	}
	t.add(w.column, startTime, start)
	if err := w.startUnmodified(); err != nil {
		return err
	}
	longest, err := w.longestPause(l)
	if err := errors.Join(err, w.stop()); err != nil {
		return err
	}
	t.add(w.column, loadedMetric(l), longest)
	t.add(w.column, overMetric(l), longest-start)
	return nil
}

// restartTime returns the milliseconds from the kill of a server without
// connections until its successor listens.
func (w *world) restartTime() (ms float64, err error) {
	if err := w.startUnmodified(); err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, w.stop()) }()
	killed := time.Now()
	if err := w.kill(); err != nil {
		return 0, err
	}
	listens, err := w.await(w.listens, "the server does not listen again", recoverLimit)
	return millis(listens.Sub(killed)), err
}
