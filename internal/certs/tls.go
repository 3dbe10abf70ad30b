package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"
)

// Files are those of one end of a connection, in PEM form.
type Files struct {
	Authority string // certificates of the authorities that the other end's may be signed by
	Cert      string // the own certificate
	Key       string // its key
}

// Check reads the files and says what is wrong with them: they are missing,
// cannot be read, do not belong together, are not valid now, or not for this end.
func (f Files) Check(kind Kind) error {
	_, pair, err := f.read()
	if err != nil {
		return err
	}
	usage := x509.ExtKeyUsageClientAuth
	if kind == KindServer {
		usage = x509.ExtKeyUsageServerAuth
	}
	now := time.Now()
	switch c := pair.Leaf; {
	case now.After(c.NotAfter):
		return fmt.Errorf("%s has expired on %s", f.Cert, day(c.NotAfter))
	case now.Before(c.NotBefore):
		return fmt.Errorf("%s is not valid before %s: is the clock right?", f.Cert, day(c.NotBefore))
	case c.IsCA || !allows(c, usage):
		return fmt.Errorf("%s is not the certificate of a %s", f.Cert, kind)
	}
	return nil
}

// allows reports whether a certificate may be used for something.
func allows(c *x509.Certificate, usage x509.ExtKeyUsage) bool {
	for _, u := range c.ExtKeyUsage {
		if u == usage || u == x509.ExtKeyUsageAny {
			return true
		}
	}
	return len(c.ExtKeyUsage) == 0 && len(c.UnknownExtKeyUsage) == 0
}

func (f Files) read() (*x509.CertPool, *tls.Certificate, error) {
	for _, file := range []struct{ what, path string }{
		{"authority's certificate", f.Authority}, {"own certificate", f.Cert}, {"key of the own certificate", f.Key},
	} {
		if file.path == "" {
			return nil, nil, fmt.Errorf("the file of the %s is not given", file.what)
		}
	}
	list, err := readCerts(f.Authority)
	if err != nil {
		return nil, nil, err
	}
	pool := x509.NewCertPool()
	for _, c := range list {
		pool.AddCert(c)
	}
	pair, err := ReadPair(f.Cert, f.Key)
	if err != nil {
		return nil, nil, err
	}
	return pool, &pair, nil
}

// ServerTLS is for a log server: TLS 1.3, and nobody without a certificate that
// an authority of the files has signed. Files that were replaced count from the
// next connection on; if they are wrong, the ones before go on to count.
func ServerTLS(f Files) (*tls.Config, error) {
	if err := f.Check(KindServer); err != nil {
		return nil, err
	}
	l := &loader{files: f}
	if _, _, err := l.load(); err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		ClientAuth: tls.RequireAndVerifyClientCert,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			pool, pair, err := l.load()
			if err != nil {
				return nil, err
			}
			return &tls.Config{
				MinVersion: tls.VersionTLS13, ClientAuth: tls.RequireAndVerifyClientCert,
				ClientCAs: pool, Certificates: []tls.Certificate{*pair},
				SessionTicketsDisabled: true, // a certificate counts for one connection
			}, nil
		},
	}, nil
}

// ClientTLS is for an engine: TLS 1.3, with a log server whose certificate an
// authority of the files has signed for that name, a host's name or an IP
// address. As with ServerTLS files may be replaced.
func ClientTLS(f Files, serverName string) (*tls.Config, error) {
	if serverName == "" {
		return nil, errors.New("the log server's name is not given")
	}
	if err := f.Check(KindClient); err != nil {
		return nil, err
	}
	l := &loader{files: f}
	if _, _, err := l.load(); err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		ServerName: serverName,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			_, pair, err := l.load()
			return pair, err
		},
		// What the standard library would do, with the authorities of now.
		InsecureSkipVerify: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			pool, _, err := l.load()
			if err != nil {
				return err
			}
			rest := x509.NewCertPool()
			for _, c := range state.PeerCertificates[1:] {
				rest.AddCert(c)
			}
			_, err = state.PeerCertificates[0].Verify(x509.VerifyOptions{
				Roots: pool, Intermediates: rest, DNSName: serverName,
				KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
			})
			if err != nil {
				return &tls.CertificateVerificationError{UnverifiedCertificates: state.PeerCertificates, Err: err}
			}
			return nil
		},
	}, nil
}

// loader reads files again when they have changed.
type loader struct {
	files Files

	mu    sync.Mutex // guards what follows
	seen  [3]stamp
	pool  *x509.CertPool
	pair  *tls.Certificate
	since time.Time
}

// stamp is how a file looked; nil: it was not there, or could not be looked at.
type stamp struct{ fs.FileInfo }

func stampOf(path string) stamp {
	info, err := os.Stat(path)
	if err != nil {
		return stamp{}
	}
	return stamp{info}
}

// same reports whether it is the file that it was. A clock may tick too slowly
// to tell one that was replaced from the one before.
func (a stamp) same(b stamp) bool {
	if a.FileInfo == nil || b.FileInfo == nil {
		return a.FileInfo == b.FileInfo
	}
	return os.SameFile(a.FileInfo, b.FileInfo) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// look is how often the files are looked at, at most: strangers can cause it.
const look = time.Second

// load returns what the files said when they were right last.
func (l *loader) load() (*x509.CertPool, *tls.Certificate, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.pool != nil && time.Since(l.since) < look {
		return l.pool, l.pair, nil
	}
	l.since = time.Now()
	var now [3]stamp
	same := l.pool != nil
	for i, path := range []string{l.files.Authority, l.files.Cert, l.files.Key} {
		now[i] = stampOf(path)
		same = same && now[i].same(l.seen[i])
	}
	if same {
		return l.pool, l.pair, nil
	}
	pool, pair, err := l.files.read()
	switch {
	case err == nil:
		l.pool, l.pair, l.seen = pool, pair, now
	case l.pool == nil:
		return nil, nil, err
	}
	return l.pool, l.pair, nil
}
