package netlab

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync/atomic"
)

// Addresses of every lab; labs do not see each other.
var (
	Client4 = netip.MustParseAddr("10.77.0.1")
	Server4 = netip.MustParseAddr("10.77.0.2")
	Client6 = netip.MustParseAddr("fd77::1")
	Server6 = netip.MustParseAddr("fd77::2")
)

// Names of the interfaces at the two ends.
const (
	ClientLink = "c0"
	ServerLink = "s0"
)

// Config describes a lab. The zero value is a direct lab with MTU 1500.
type Config struct {
	// MTU of every link in bytes, 1280 to 65535. Default 1500.
	MTU int
	// Impair, if not nil, puts an impairing relay between client and server.
	Impair *Impair
}

// Lab is a client and a server namespace joined by a link.
type Lab struct {
	Client *Namespace
	Server *Namespace
	// Relay is nil in a direct lab.
	Relay *Relay

	base   string // of the namespaces' names
	middle *Namespace
	hosts  []*Namespace // added
}

var labs atomic.Uint32

// Open builds a lab; a nil config means the zero Config. It first removes what
// earlier processes that no longer live have left behind. The caller must
// Close the lab; package netlabtest does so for tests.
func Open(config *Config) (*Lab, error) {
	c := Config{}
	if config != nil {
		c = *config
	}
	if c.MTU == 0 {
		c.MTU = 1500
	}
	if c.MTU < 1280 || c.MTU > 65535 {
		return nil, fmt.Errorf("netlab: MTU %d is not within 1280..65535", c.MTU)
	}
	if c.Impair != nil {
		if err := c.Impair.validate(); err != nil {
			return nil, err
		}
	}
	if _, err := RemoveLeftovers(); err != nil {
		return nil, err
	}
	l := &Lab{}
	if err := l.build(c); err != nil {
		return nil, errors.Join(fmt.Errorf("netlab: %w", err), l.Close())
	}
	return l, nil
}

func (l *Lab) build(c Config) error {
	var err error
	if l.base, err = ownedName(os.Getpid(), labs.Add(1)); err != nil {
		return err
	}
	if l.Client, err = newNamespace(l.base + "-client"); err != nil {
		return err
	}
	if l.Server, err = newNamespace(l.base + "-server"); err != nil {
		return err
	}
	client := end{l.Client, ClientLink, []netip.Prefix{netip.PrefixFrom(Client4, 24), netip.PrefixFrom(Client6, 64)}}
	server := end{l.Server, ServerLink, []netip.Prefix{netip.PrefixFrom(Server4, 24), netip.PrefixFrom(Server6, 64)}}
	if c.Impair == nil {
		return join(client, server, c.MTU)
	}
	if l.middle, err = newNamespace(l.base + "-relay"); err != nil {
		return err
	}
	if err := join(client, end{l.middle, "rc", nil}, c.MTU); err != nil {
		return err
	}
	if err := join(server, end{l.middle, "rs", nil}, c.MTU); err != nil {
		return err
	}
	for _, e := range []end{client, server} {
		if err := e.ns.Run(func() error { return segmentInSoftware(e.link) }); err != nil {
			return err
		}
	}
	l.Relay, err = openRelay(l.middle, "rc", "rs", *c.Impair)
	return err
}

// Add adds a host without links, a namespace that Close removes like the others.
// Names of one lab differ.
func (l *Lab) Add(name string) (*Namespace, error) {
	ns, err := newNamespace(l.base + "-" + name)
	if err != nil {
		return nil, fmt.Errorf("netlab: %w", err)
	}
	l.hosts = append(l.hosts, ns)
	return ns, nil
}

// Close ends every process that still runs in the lab and removes it. It may
// be called more than once.
func (l *Lab) Close() error {
	var errs []error
	if l.Relay != nil {
		l.Relay.close()
	}
	for _, ns := range append([]*Namespace{l.Client, l.Server, l.middle}, l.hosts...) {
		if ns != nil {
			errs = append(errs, ns.close())
		}
	}
	return errors.Join(errs...)
}
