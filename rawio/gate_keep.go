package rawio

import (
	"errors"
	"maps"
	"net"
	"sync"
	"time"

	"github.com/ftnet/ftnet/rawio/internal/gate"
	"github.com/ftnet/ftnet/rawio/internal/south"
)

// keeper periodically checks the parts of the gate whose removal is not notified: the program that
// notes releases, and the pins. It restores missing ones.
type keeper struct {
	mu      sync.Mutex        // guards what follows
	missing map[string]string // what could not be put back, and why
	mended  map[string]uint64 // how often something was put back
}

// What may be missing, as status calls it.
const (
	keepReleases = "releases"
	keepPins     = "pins"
)

func (k *keeper) state() (missing map[string]string, mended map[string]uint64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return maps.Clone(k.missing), maps.Clone(k.mended)
}

// note records the result of a check, and returns the error of the previous one.
func (k *keeper) note(what string, was, err error) (before string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.missing == nil {
		k.missing, k.mended = map[string]string{}, map[string]uint64{}
	}
	before = k.missing[what]
	switch {
	case err != nil:
		k.missing[what] = err.Error()
	default:
		delete(k.missing, what)
		if was != nil {
			k.mended[what]++
		}
	}
	return before
}

func (e *Engine) keepLoop() {
	ticker := time.NewTicker(proofEvery)
	defer ticker.Stop()
	for {
		select {
		case <-e.closing:
			return
		case <-ticker.C:
		}
		e.keep(keepPins, e.gate.MendPins) // the recovery of a server does not need them
		if missing, changed := e.keep(keepReleases, e.gate.MendReleases); changed {
			e.do(func(m *south.Machine) {
				if missing == "" {
					m.Watched()
				} else {
					m.Unwatched(missing)
				}
			})
		}
	}
}

// keep checks one part, and restores it. It returns why it is missing, and whether that has changed.
func (e *Engine) keep(what string, mend func() (was, err error)) (missing string, changed bool) {
	was, err := mend()
	if errors.Is(err, net.ErrClosed) || errors.Is(err, gate.ErrNotSupported) && was == nil {
		return "", false
	}
	before := e.keeper.note(what, was, err)
	switch {
	case err != nil && before == "":
		e.log.Warn("gate parts are missing and cannot be restored", "missing", what, "reason", was, "error", err)
	case err == nil && before != "":
		e.log.Info("gate parts restored", "was missing", what)
	case was != nil && err == nil:
		e.log.Warn("gate parts were missing and have been restored", "missing", what, "reason", was)
	}
	if err != nil {
		missing = err.Error()
	}
	return missing, (missing == "") != (before == "")
}
