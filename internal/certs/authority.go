package certs

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// How long certificates are valid, unless told otherwise.
const (
	DefaultAuthorityValid = 10 * 365 * 24 * time.Hour
	DefaultValid          = 365 * 24 * time.Hour
)

// backdate is how much a verifier's clock may lag behind.
const backdate = time.Hour

// authorityName is what the authority's files are called.
const authorityName = "ca"

// Options are for all that makes a certificate. The zero value is usable.
type Options struct {
	Name  string        // of the files; default "ca", "server" or "client"
	Valid time.Duration // default: [DefaultAuthorityValid] or [DefaultValid]
	Force bool          // replace files that exist
}

// Authority is a certificate authority in a directory: ca.pem and ca.key.
type Authority struct {
	Dir         string
	Certificate *x509.Certificate
	key         crypto.Signer
}

// Init makes the directory, if it is missing, and a new authority in it. It
// returns an error that satisfies errors.Is(err, fs.ErrExist) if there is one.
// o.Name is not used.
func Init(dir string, o Options) (*Authority, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	o.Name = authorityName
	if err := o.free(dir); err != nil {
		return nil, err
	}
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	a := &Authority{Dir: dir, key: key}
	host, _ := os.Hostname()
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: shorten("ftnet authority " + host)},
		IsCA:    true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign,
	}
	o.Valid = orElse(o.Valid, DefaultAuthorityValid)
	if a.Certificate, err = a.issue(template, template, key.Public(), o.Valid); err != nil {
		return nil, err
	}
	return a, o.write(dir, a.Certificate, key)
}

// Open reads the authority of a directory.
func Open(dir string) (*Authority, error) {
	pair, err := readPair(dir, authorityName)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%s holds no authority: %w", dir, err)
	case err != nil:
		return nil, err
	case !pair.Leaf.IsCA:
		return nil, fmt.Errorf("%s is not the certificate of an authority", filepath.Join(dir, authorityName+certSuffix))
	}
	return &Authority{Dir: dir, Certificate: pair.Leaf, key: pair.PrivateKey.(crypto.Signer)}, nil
}

// issue signs a template.
func (a *Authority) issue(template, parent *x509.Certificate, public crypto.PublicKey, valid time.Duration) (*x509.Certificate, error) {
	if valid < 0 {
		return nil, fmt.Errorf("valid for %v: must be above 0", valid)
	}
	now := time.Now()
	template.NotBefore, template.NotAfter = now.Add(-backdate), now.Add(valid)
	if !template.IsCA && template.NotAfter.After(parent.NotAfter) {
		template.NotAfter = parent.NotAfter // it would not be believed any longer
	}
	if !template.IsCA && now.After(parent.NotAfter) {
		return nil, fmt.Errorf("the authority has expired on %s: renew it first", day(parent.NotAfter))
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, a.key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

func newKey() (*ecdsa.PrivateKey, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }

// shorten cuts a common name to what X.520 allows.
func shorten(s string) string {
	const longest = 64
	if len(s) > longest {
		s = s[:longest]
	}
	return s
}

func day(t time.Time) string { return t.Local().Format(time.DateOnly) }

func orElse[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}
