package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
)

// Do sends a request to the daemon at the unix socket path and passes each
// message of the answer, but the last, to got. It returns nil if the daemon has
// done it, the daemon's *Error, got's error, or why there is no whole answer. The
// end of ctx ends it; what the daemon has begun goes on.
func Do(ctx context.Context, path string, r Request, got func(Message) error) error {
	r.Version = Version
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		return fmt.Errorf("the daemon does not answer: %w", err)
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	if err := json.NewEncoder(c).Encode(r); err != nil {
		return fmt.Errorf("the daemon does not answer: %w", errors.Join(ctx.Err(), err))
	}
	for dec := json.NewDecoder(c); ; {
		var m Message
		if err := dec.Decode(&m); err != nil {
			if errors.Is(err, io.EOF) {
				err = errors.New("it has ended, or has too many clients")
			}
			return fmt.Errorf("no whole answer from the daemon: %w", errors.Join(ctx.Err(), err))
		}
		if m.Done != nil {
			if m.Done.Error != nil {
				return m.Done.Error
			}
			return nil
		}
		if err := got(m); err != nil {
			return err
		}
	}
}
