package logd

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"regexp"
	"slices"
	"strings"

	"github.com/ftnet/ftnet/internal/certs"
)

// identity is who a peer is.
type identity struct {
	name     string // tells it from others
	all      bool
	services []string
}

// may reports whether the peer may see and write the service's connections.
func (i *identity) may(service string) bool {
	return i.all || slices.Contains(i.services, service)
}

var errNoServices = errors.New("the certificate names no service (URI ftnet:service:NAME)")

// serviceForm is what a common name must look like to be taken for the name of
// a service.
var serviceForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// identify reads a peer's certificate, which TLS has verified.
func identify(state tls.ConnectionState) (identity, error) {
	if len(state.VerifiedChains) == 0 || len(state.PeerCertificates) == 0 {
		return identity{}, errors.New("the peer has no verified certificate")
	}
	return identifyCert(state.PeerCertificates[0])
}

func identifyCert(c *x509.Certificate) (identity, error) {
	names := certs.Services(c)
	if len(names) == 0 && serviceForm.MatchString(c.Subject.CommonName) {
		names = []string{c.Subject.CommonName}
	}
	if len(names) == 0 {
		return identity{}, errNoServices
	}
	return identity{
		name:     c.Subject.CommonName + "\x00" + strings.Join(names, "\x00"),
		all:      slices.Contains(names, certs.AnyService),
		services: names,
	}, nil
}
