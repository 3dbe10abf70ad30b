package ownership

import (
	"context"
	"errors"
	"sync"
)

// All is the Ownership of several that have to agree: its claim has one of each of them, taken in
// their order, and is lost when the first of these is. Its epoch is that of the first Ownership.
func All(list ...Ownership) Ownership { return all(list) }

type all []Ownership

func (a all) Claim(ctx context.Context, s Service) (Claim, error) {
	j := &joint{lost: make(chan struct{}), released: make(chan struct{})}
	for _, o := range a {
		c, err := o.Claim(ctx, s)
		if err != nil {
			return nil, errors.Join(err, j.Release())
		}
		j.claims = append(j.claims, c)
	}
	for _, c := range j.claims {
		if lost := c.Lost(); lost != nil {
			j.watchers.Go(func() { j.watch(c, lost) })
		}
	}
	return j, nil
}

// joint is a claim of All.
type joint struct {
	claims         []Claim
	once           sync.Once // closes lost
	err            error     // valid when lost is closed
	lost, released chan struct{}
	release        sync.Once
	watchers       sync.WaitGroup
}

func (j *joint) watch(c Claim, lost <-chan struct{}) {
	select {
	case <-lost:
		j.once.Do(func() {
			j.err = c.Err()
			close(j.lost)
		})
	case <-j.released:
	}
}

func (j *joint) Epoch() uint64 { return j.claims[0].Epoch() }

func (j *joint) Lost() <-chan struct{} { return j.lost }

func (j *joint) Err() error {
	select {
	case <-j.lost:
		return j.err
	default:
		return nil
	}
}

func (j *joint) Release() error {
	var errs []error
	j.release.Do(func() {
		close(j.released)
		j.watchers.Wait()
		for i := range j.claims { // in the opposite order
			errs = append(errs, j.claims[len(j.claims)-1-i].Release())
		}
	})
	return errors.Join(errs...)
}
