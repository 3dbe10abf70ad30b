package certs

import (
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// AnyService in place of a service's name allows all.
const AnyService = "*"

// servicePrefix begins the URIs that name the services of a client.
const servicePrefix = "ftnet:service:"

// Server makes the certificate of a log server, for the names by which its
// clients call it: DNS names, which may begin with "*.", and IP addresses.
func (a *Authority) Server(names []string, o Options) (*x509.Certificate, error) {
	if len(names) == 0 {
		return nil, errors.New("by which names and addresses do clients call the server?")
	}
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: shorten(names[0])},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else if hostForm.MatchString(name) {
			template.DNSNames = append(template.DNSNames, name)
		} else {
			return nil, fmt.Errorf("%q is neither a host's name nor an IP address", name)
		}
	}
	o.Name = orElse(o.Name, "server")
	return a.deliver(template, o)
}

// Client makes the certificate of an engine that may log the connections of
// these services, and see them. A service may be [AnyService].
func (a *Authority) Client(services []string, o Options) (*x509.Certificate, error) {
	if len(services) == 0 {
		return nil, errors.New("for which services? \"*\" is all")
	}
	template := &x509.Certificate{
		// With a blank, so that nobody takes it for the name of a service.
		Subject:     pkix.Name{CommonName: shorten("engine of " + strings.Join(services, ", "))},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	for _, name := range services {
		if name != AnyService && !serviceForm.MatchString(name) {
			return nil, fmt.Errorf(`%q cannot be the name of a service: letters, digits, ".", "_" and "-", at most 64`, name)
		}
		u, err := url.Parse(servicePrefix + name)
		if err != nil {
			return nil, err
		}
		template.URIs = append(template.URIs, u)
	}
	o.Name = orElse(o.Name, "client")
	return a.deliver(template, o)
}

// Services returns the services that a certificate is for, sorted.
func Services(c *x509.Certificate) []string {
	var names []string
	for _, u := range c.URIs {
		if name, ok := strings.CutPrefix(u.String(), servicePrefix); ok && name != "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

var (
	hostForm    = regexp.MustCompile(`^(\*\.)?([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$`)
	serviceForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`) // as recovery/config has it
	fileForm    = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)
)

// deliver makes a key, signs the template and writes both.
func (a *Authority) deliver(template *x509.Certificate, o Options) (*x509.Certificate, error) {
	switch {
	case !fileForm.MatchString(o.Name):
		return nil, fmt.Errorf("%q cannot be the name of a file here", o.Name)
	case o.Name == authorityName:
		return nil, fmt.Errorf("the name %q is the authority's", o.Name)
	}
	if err := o.free(a.Dir); err != nil {
		return nil, err
	}
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	c, err := a.issue(template, a.Certificate, key.Public(), orElse(o.Valid, DefaultValid))
	if err != nil {
		return nil, err
	}
	return c, o.write(a.Dir, c, key)
}

// Renew makes the certificate o.Name of the directory anew, with the names,
// services and key that it has: what has one of the two files goes on to fit. The
// authority, too, keeps its key, so that what it has signed stays valid.
func (a *Authority) Renew(o Options) (*x509.Certificate, error) {
	pair, err := readPair(a.Dir, o.Name)
	if err != nil {
		return nil, err
	}
	old := pair.Leaf
	template := &x509.Certificate{
		Subject: old.Subject, DNSNames: old.DNSNames, IPAddresses: old.IPAddresses, URIs: old.URIs,
		KeyUsage: old.KeyUsage, ExtKeyUsage: old.ExtKeyUsage,
		IsCA: old.IsCA, BasicConstraintsValid: old.IsCA, MaxPathLenZero: old.IsCA, SubjectKeyId: old.SubjectKeyId,
	}
	parent, valid := a.Certificate, orElse(o.Valid, DefaultValid)
	if old.IsCA {
		if o.Name != authorityName {
			return nil, fmt.Errorf("%s is another authority's", certPath(a.Dir, o.Name))
		}
		parent, valid = template, orElse(o.Valid, DefaultAuthorityValid)
	}
	c, err := a.issue(template, parent, pair.PrivateKey.(crypto.Signer).Public(), valid)
	if err != nil {
		return nil, err
	}
	if old.IsCA {
		a.Certificate = c
	}
	return c, replace(certPath(a.Dir, o.Name), certMode, encodeCert(c))
}
