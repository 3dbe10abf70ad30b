package logd

import (
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"github.com/ftnet/ftnet/logserver"
)

// Config sets a server up. Store is required, and either TLS or Insecure. Zero
// values mean the defaults.
type Config struct {
	// Store is where the log is kept. It is the server's alone while that
	// runs, which replaces its upcalls; its owner closes it after the server.
	Store logserver.Log
	// TLS has the server's certificate and the authorities of its clients'.
	// Nothing older than TLS 1.3 is spoken, and nobody is served without a
	// certificate, whatever it says.
	TLS *tls.Config
	// Insecure, without TLS, serves everybody everything: for tests.
	Insecure bool
	// Key makes the tokens that show that a session's numbers were given to
	// the peer that shows them. Default: made from the certificate's private
	// key, so that sessions go on when the server has restarted.
	Key []byte

	// HandshakeTimeout is how long a stranger has to become a peer. Default 5 s.
	HandshakeTimeout time.Duration
	// MaxHandshakes is how many strangers there may be, and
	// MaxHandshakesPerAddress how many of one address (IPv6: one /64). Others
	// are turned away. Default 64 and 8.
	MaxHandshakes, MaxHandshakesPerAddress int
	// MaxSessions is how many peers are served, and MaxSessionsPerPeer how many
	// times one certificate is. Default 256 and 16.
	MaxSessions, MaxSessionsPerPeer int
	// MaxUnstable is how many bytes of a session may wait for the store. The
	// server reads no more from a peer with as many. Default 64 MiB.
	MaxUnstable int64
	// Silence is how long the server may be silent before its client takes it
	// for dead; it says something four times as often. Default 6 s.
	Silence time.Duration
	// WriteTimeout is how long a peer may read nothing of what it is told
	// before it is given up. Default 10 s.
	WriteTimeout time.Duration
	// Warn is told what an operator should know, in a few words and pairs of a
	// name and a value. Default: nobody is.
	Warn func(message string, pairs ...any)
}

func (c Config) withDefaults() Config {
	orElse(&c.HandshakeTimeout, 5*time.Second)
	orElse(&c.MaxHandshakes, 64)
	orElse(&c.MaxHandshakesPerAddress, 8)
	orElse(&c.MaxSessions, 256)
	orElse(&c.MaxSessionsPerPeer, 16)
	orElse(&c.MaxUnstable, 64<<20)
	orElse(&c.Silence, 6*time.Second)
	orElse(&c.WriteTimeout, 10*time.Second)
	if c.Warn == nil {
		c.Warn = func(string, ...any) {}
	}
	return c
}

func orElse[T comparable](field *T, value T) {
	if zero := *new(T); *field == zero {
		*field = value
	}
}

func (c *Config) validate() error {
	switch {
	case c.Store == nil:
		return fmt.Errorf("%w: logd.Config has no Store", logserver.ErrInvalid)
	case c.TLS == nil && !c.Insecure:
		return fmt.Errorf("%w: logd.Config has no TLS", logserver.ErrInvalid)
	case c.MaxUnstable < 0 || c.Silence < 0 || c.WriteTimeout < 0 || c.HandshakeTimeout < 0:
		return fmt.Errorf("%w: a limit of logd.Config is negative", logserver.ErrInvalid)
	}
	return nil
}

// secure returns what TLS a server speaks: its own settings, within what the
// protocol demands.
func secure(own *tls.Config) *tls.Config {
	c := own.Clone()
	c.MinVersion = tls.VersionTLS13
	c.ClientAuth = tls.RequireAndVerifyClientCert
	// A certificate counts for one connection.
	c.SessionTicketsDisabled = true
	// Small records only help those who wait for the first of them.
	c.DynamicRecordSizingDisabled = true
	if choose := own.GetConfigForClient; choose != nil {
		c.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			chosen, err := choose(hello)
			if err != nil || chosen == nil {
				return nil, err
			}
			return secure(chosen), nil
		}
	}
	return c
}

var errNoCertificate = errors.New("logd: the TLS configuration has no certificate")
