package certs

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Ends of the files' names, and their modes.
const (
	certSuffix             = ".pem"
	keySuffix              = ".key"
	certMode   fs.FileMode = 0o644
	keyMode    fs.FileMode = 0o600
)

func certPath(dir, name string) string { return filepath.Join(dir, name+certSuffix) }
func keyPath(dir, name string) string  { return filepath.Join(dir, name+keySuffix) }

// free looks whether the files may be made.
func (o *Options) free(dir string) error {
	if o.Force {
		return nil
	}
	for _, path := range []string{certPath(dir, o.Name), keyPath(dir, o.Name)} {
		if _, err := os.Lstat(path); err == nil {
			return &fs.PathError{Op: "create", Path: path, Err: fs.ErrExist}
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// write makes the two files. The key comes first: a certificate without its key
// is worth nothing.
func (o *Options) write(dir string, c *x509.Certificate, key crypto.PrivateKey) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	if err := o.put(keyPath(dir, o.Name), keyMode, text); err != nil {
		return err
	}
	return o.put(certPath(dir, o.Name), certMode, encodeCert(c))
}

func (o *Options) put(path string, mode fs.FileMode, text []byte) error {
	if o.Force {
		return replace(path, mode, text)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Sync(), f.Close())
}

// replace writes the whole file or none of it.
func replace(path string, mode fs.FileMode, text []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // gone, if all went well
	_, err = f.Write(text)
	if err := errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

func encodeCert(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}

// readPair reads the certificate of that name and its key.
func readPair(dir, name string) (tls.Certificate, error) {
	return ReadPair(certPath(dir, name), keyPath(dir, name))
}

// ReadPair reads a certificate, with those that lead to its authority behind
// it if there are any, and its key.
func ReadPair(certFile, keyFile string) (tls.Certificate, error) {
	if _, err := ReadCert(certFile); err != nil {
		return tls.Certificate{}, err
	}
	cert, err := os.ReadFile(certFile)
	if err != nil {
		return tls.Certificate{}, err
	}
	key, err := os.ReadFile(keyFile)
	if err != nil {
		return tls.Certificate{}, err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("%s with the key %s: %w", certFile, keyFile, err)
	}
	return pair, nil
}

// ReadCert reads the first certificate of a file.
func ReadCert(path string) (*x509.Certificate, error) {
	list, err := readCerts(path)
	if err != nil {
		return nil, err
	}
	return list[0], nil
}

// readCerts reads all certificates of a file; there is at least one.
func readCerts(path string) ([]*x509.Certificate, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var list []*x509.Certificate
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		list = append(list, c)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%s holds no certificate in PEM form", path)
	}
	return list, nil
}
