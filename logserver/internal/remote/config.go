package remote

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/internal/wire"
)

// Config says where the log server is. Address and TLS are required, but for
// tests. Zero values mean the defaults.
type Config struct {
	// Address is the server's HOST:PORT.
	Address string
	// TLS has the client's certificate and the authorities of the server's.
	// Nothing older than TLS 1.3 is spoken.
	TLS *tls.Config
	// Insecure does without TLS: for tests.
	Insecure bool
	// Dial makes the connection under TLS. Default: TCP to Address.
	Dial func(ctx context.Context) (net.Conn, error)
	// Services are those whose connections this log writes. They are claimed
	// at the first contact, and whoever wrote them before is fenced. Others
	// are claimed when their first connection is written.
	Services []string

	// Buffer is how many bytes may wait to be stable. Default 64 MiB.
	Buffer int64
	// Timeout is how long the methods that may wait do so. Default 10 s.
	Timeout time.Duration
	// CloseTimeout is how long Close waits for what is not stable. Default 5 s.
	CloseTimeout time.Duration
	// DialTimeout bounds an attempt to connect. Default 5 s.
	DialTimeout time.Duration
	// Silence is how long the client may be silent before the server takes it
	// for dead; it says something four times as often. Default 6 s.
	Silence time.Duration
	// MinBackoff and MaxBackoff bound the pause between attempts to connect,
	// which doubles and varies by half. Default 20 ms and 2 s.
	MinBackoff, MaxBackoff time.Duration

	// Warn is told what an operator should know, in a few words and pairs of a
	// name and a value. Default: nobody is.
	Warn func(message string, pairs ...any)
}

func (c Config) withDefaults() Config {
	orElse(&c.Buffer, 64<<20)
	orElse(&c.Timeout, 10*time.Second)
	orElse(&c.CloseTimeout, 5*time.Second)
	orElse(&c.DialTimeout, 5*time.Second)
	orElse(&c.Silence, 6*time.Second)
	orElse(&c.MinBackoff, 20*time.Millisecond)
	orElse(&c.MaxBackoff, 2*time.Second)
	if c.Warn == nil {
		c.Warn = func(string, ...any) {}
	}
	if c.Dial == nil {
		address := c.Address
		c.Dial = func(ctx context.Context) (net.Conn, error) {
			d := net.Dialer{Control: lossBased}
			return d.DialContext(ctx, "tcp", address)
		}
	}
	return c
}

func orElse[T comparable](field *T, value T) {
	if zero := *new(T); *field == zero {
		*field = value
	}
}

func (c *Config) validate() error {
	var err error
	switch {
	case c.Address == "" && c.Dial == nil:
		err = errors.New("no address")
	case c.TLS == nil && !c.Insecure:
		err = errors.New("no TLS")
	case len(c.Services) > wire.MaxServices:
		err = fmt.Errorf("more than %d services", wire.MaxServices)
	case c.Buffer < 0 || c.Timeout < 0 || c.CloseTimeout < 0 || c.DialTimeout < 0 || c.Silence < 0 || c.MinBackoff < 0 || c.MaxBackoff < 0:
		err = errors.New("a negative limit")
	}
	if err != nil {
		return fmt.Errorf("%w: remote.Config has %w", logserver.ErrInvalid, err)
	}
	return nil
}

// secure returns what TLS the client speaks: its own settings, within what the
// protocol demands.
func secure(own *tls.Config, address string) *tls.Config {
	c := own.Clone()
	c.MinVersion = tls.VersionTLS13
	// Small records only help those who wait for the first of them.
	c.DynamicRecordSizingDisabled = true
	if c.ServerName == "" {
		c.ServerName, _, _ = net.SplitHostPort(address)
	}
	return c
}
