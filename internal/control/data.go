package control

import (
	"context"
	"errors"
	"fmt"
)

// ReadLog reads from the log into p, len(p) bytes at most, and returns how
// many there were. It uses one of a few data connections and waits until one is
// free, and while the engine's log cannot be reached.
func (c *Client) ReadLog(ctx context.Context, slot, gen uint32, off int64, p []byte) (int, error) {
	return c.ask(ctx, ReadLog{Slot: slot, Gen: gen, Off: off, N: min(len(p), MaxRead)}, p)
}

// ask is ReadLog with any request.
func (c *Client) ask(ctx context.Context, r ReadLog, p []byte) (int, error) {
	for {
		n, err := c.askOnce(ctx, r, p)
		if e, ok := errors.AsType[*Error](err); !ok || e.Code != CodeLater {
			return n, err
		}
	}
}

func (c *Client) askOnce(ctx context.Context, r ReadLog, p []byte) (int, error) {
	select {
	case c.data <- struct{}{}:
		defer func() { <-c.data }()
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	l, err := c.dataLink(ctx)
	if err != nil {
		return 0, err
	}
	n, err := readLog(ctx, l, r, p)
	var e *Error
	if err != nil && !errors.As(err, &e) {
		l.c.Close()
		return 0, err
	}
	c.dataMu.Lock()
	defer c.dataMu.Unlock()
	if c.closed {
		l.c.Close()
	} else {
		c.idle = append(c.idle, l)
	}
	return n, err
}

func readLog(ctx context.Context, l *link, r ReadLog, p []byte) (n int, err error) {
	stop := context.AfterFunc(ctx, func() { l.c.Close() })
	defer func() {
		if !stop() && err == nil {
			err = ctx.Err() // the link is being closed
		}
	}()
	var req [readLogSize]byte
	if err := l.write(typeReadLog, r.append(req[:0])); err != nil {
		return 0, contextError(ctx, err)
	}
	// However long that takes: the log may be slow, and an engine that is gone shows.
	t, body, err := l.read(0)
	if err != nil {
		return 0, contextError(ctx, err)
	}
	if t != typeData {
		return 0, result(t, body, typeOK, &struct{}{})
	}
	if len(body) > r.N {
		return 0, errFrame
	}
	return copy(p, body), nil
}

func contextError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("%w: %v", ErrLost, err)
}

func (c *Client) dataLink(ctx context.Context) (*link, error) {
	c.dataMu.Lock()
	if n := len(c.idle); n > 0 {
		l := c.idle[n-1]
		c.idle = c.idle[:n-1]
		c.dataMu.Unlock()
		return l, nil
	}
	c.dataMu.Unlock()
	l, err := dial(ctx, c.path)
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrLost, err)
	}
	w, err := hello(l, Hello{Data: true}, -1)
	switch _, refused := errors.AsType[*Error](err); {
	case err == nil && w.Instance != c.instance:
		err = errSuccessor
	case err != nil && !refused:
		err = fmt.Errorf("%w: %w", ErrLost, err)
	}
	if err != nil {
		l.c.Close()
		return nil, err
	}
	return l, nil
}
