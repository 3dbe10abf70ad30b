package certs

import (
	"crypto/x509"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Kind is what a certificate is for.
type Kind string

// Kinds of certificates.
const (
	KindAuthority Kind = "authority"
	KindServer    Kind = "server"
	KindClient    Kind = "client"
	KindOther     Kind = "other"
)

// Entry is a certificate in a directory.
type Entry struct {
	Name        string // of its files, without suffix
	Path        string // of the certificate
	Kind        Kind
	Names       []string // names and addresses of a server, services of a client
	Expires     time.Time
	Certificate *x509.Certificate
	// Trouble says why it would not be believed, or cannot be used; nil if
	// there is no reason.
	Trouble error
}

// Troubles of an [Entry].
var (
	ErrExpired  = errors.New("has expired")
	ErrForeign  = errors.New("not signed by the authority here")
	ErrKeyless  = errors.New("its key is missing or another one's")
	ErrOpenKey  = errors.New("others may read its key")
	ErrUnusable = errors.New("cannot be read")
)

// List returns the certificates of a directory, the authority first, then by
// name.
func List(dir string) ([]Entry, error) {
	paths, err := filepath.Glob(filepath.Join(escape(dir), "*"+certSuffix))
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(dir); err != nil {
		return nil, err
	}
	authority, _ := ReadCert(certPath(dir, authorityName))
	var list []Entry
	for _, path := range paths {
		list = append(list, examine(dir, path, authority))
	}
	slices.SortStableFunc(list, func(a, b Entry) int {
		switch {
		case a.Name == authorityName && b.Name != authorityName:
			return -1
		case b.Name == authorityName && a.Name != authorityName:
			return 1
		}
		return strings.Compare(a.Name, b.Name)
	})
	return list, nil
}

// escape makes a directory's name match itself only.
func escape(dir string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(dir)
}

func examine(dir, path string, authority *x509.Certificate) Entry {
	name := strings.TrimSuffix(filepath.Base(path), certSuffix)
	e := Entry{Name: name, Path: path, Kind: KindOther}
	c, err := ReadCert(path)
	if err != nil {
		e.Trouble = errors.Join(ErrUnusable, err)
		return e
	}
	e.Certificate, e.Expires = c, c.NotAfter
	e.Kind, e.Names = describe(c)
	e.Trouble = trouble(dir, name, c, authority)
	return e
}

// describe says what a certificate is for.
func describe(c *x509.Certificate) (Kind, []string) {
	switch {
	case c.IsCA:
		return KindAuthority, []string{c.Subject.CommonName}
	case slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageServerAuth):
		names := slices.Clone(c.DNSNames)
		for _, ip := range c.IPAddresses {
			names = append(names, ip.String())
		}
		return KindServer, names
	case slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageClientAuth):
		return KindClient, Services(c)
	}
	return KindOther, nil
}

func trouble(dir, name string, c, authority *x509.Certificate) error {
	if authority == nil || c.CheckSignatureFrom(authority) != nil {
		return ErrForeign
	}
	if time.Now().After(c.NotAfter) {
		return ErrExpired
	}
	// Without its key here a certificate may be in use elsewhere.
	info, err := os.Stat(keyPath(dir, name))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return ErrKeyless
	case err == nil && info.Mode().Perm()&0o077 != 0:
		return ErrOpenKey
	}
	if _, err := readPair(dir, name); err != nil && !errors.Is(err, fs.ErrPermission) {
		return ErrKeyless
	}
	return nil
}
