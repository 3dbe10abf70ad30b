// Package ownershiptest has an Ownership for tests, whose claims are lost when the test says so.
package ownershiptest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/ftnet/ftnet/internal/ownership"
)

// Fake is an Ownership. Its zero value gives out whatever is asked for.
type Fake struct {
	Next   uint64                          // the last epoch that was given out
	Refuse map[ownership.Service]error     // what is not given out, and why
	Note   func(what string, epoch uint64) // if not nil: is told of "claim", "lose" and "release", with the claim's epoch

	mu     sync.Mutex // guards Next and what follows
	claims map[ownership.Service]*claim
}

// Claim gives out a service. A second claim of it, without a Release, is the new owner's: the
// first one is lost.
func (f *Fake) Claim(_ context.Context, s ownership.Service) (ownership.Claim, error) {
	if err := f.Refuse[s]; err != nil {
		return nil, err
	}
	f.Lose(s, "it was claimed again")
	f.mu.Lock()
	defer f.mu.Unlock()
	f.Next++
	c := &claim{fake: f, service: s, epoch: f.Next, lost: make(chan struct{})}
	if f.claims == nil {
		f.claims = map[ownership.Service]*claim{}
	}
	f.claims[s] = c
	f.note("claim", c)
	return c, nil
}

// Lose has the claim of a service be lost, if there is one.
func (f *Fake) Lose(s ownership.Service, why string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if c := f.claims[s]; c != nil && c.err == nil {
		c.err = fmt.Errorf("%w %s: %s", ownership.ErrLost, s.Name, why)
		f.note("lose", c)
		close(c.lost)
	}
}

// Held returns what has been claimed and not released, by port: lost or not.
func (f *Fake) Held() []ownership.Service {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.SortedFunc(maps.Keys(f.claims), func(a, b ownership.Service) int { return int(a.Port) - int(b.Port) })
}

// note is called with f.mu held.
func (f *Fake) note(what string, c *claim) {
	if f.Note != nil {
		f.Note(what, c.epoch)
	}
}

type claim struct {
	fake    *Fake
	service ownership.Service
	epoch   uint64
	lost    chan struct{}
	err     error // guarded by fake.mu
}

func (c *claim) Epoch() uint64         { return c.epoch }
func (c *claim) Lost() <-chan struct{} { return c.lost }

func (c *claim) Err() error {
	c.fake.mu.Lock()
	defer c.fake.mu.Unlock()
	return c.err
}

func (c *claim) Release() error {
	c.fake.mu.Lock()
	defer c.fake.mu.Unlock()
	if c.fake.claims[c.service] == c {
		delete(c.fake.claims, c.service)
		c.fake.note("release", c)
	}
	return nil
}
