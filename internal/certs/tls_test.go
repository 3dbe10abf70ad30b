package certs

import (
	"crypto/tls"
	"errors"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// handshake connects the two ends, and returns what each says of it.
func handshake(t *testing.T, server, client *tls.Config) (serverErr, clientErr error) {
	t.Helper()
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	limit := time.Now().Add(10 * time.Second)
	_ = a.SetDeadline(limit)
	_ = b.SetDeadline(limit)
	done := make(chan error, 1)
	go func() {
		s := tls.Server(a, server)
		err := s.Handshake()
		if err == nil {
			_, err = s.Write([]byte("x"))
		}
		a.Close()
		done <- err
	}()
	c := tls.Client(b, client)
	if clientErr = c.Handshake(); clientErr == nil { // the server's judgment comes after it in TLS 1.3
		_, clientErr = c.Read(make([]byte, 1))
	}
	b.Close()
	return <-done, clientErr
}

func TestMutualTLS(t *testing.T) {
	a, other := world(t), world(t)
	server, err := ServerTLS(files(a.Dir, "server"))
	if err != nil {
		t.Fatal(err)
	}
	connect := func(f Files, name string) (error, error) {
		client, err := ClientTLS(f, name)
		if err != nil {
			t.Fatal(err)
		}
		return handshake(t, server, client)
	}
	mine := files(a.Dir, "client")
	for _, name := range []string{"log.example", "127.0.0.1", "::1"} {
		if serr, cerr := connect(mine, name); serr != nil || cerr != nil {
			t.Errorf("%s: %v, %v", name, serr, cerr)
		}
	}
	var wrong *tls.CertificateVerificationError
	if _, cerr := connect(mine, "another.example"); !errors.As(cerr, &wrong) {
		t.Errorf("another name: %v", cerr)
	}
	theirs := files(other.Dir, "client")
	if _, cerr := connect(theirs, "log.example"); !errors.As(cerr, &wrong) {
		t.Errorf("a server of another authority: %v", cerr)
	}
	theirs.Authority = mine.Authority
	if serr, cerr := connect(theirs, "log.example"); serr == nil || cerr == nil {
		t.Errorf("a client of another authority: %v, %v", serr, cerr)
	}
	if serr, _ := handshake(t, server, &tls.Config{InsecureSkipVerify: true}); serr == nil {
		t.Error("a client without a certificate")
	}
	old, err := ClientTLS(mine, "log.example")
	if err != nil {
		t.Fatal(err)
	}
	old.MinVersion, old.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	if serr, _ := handshake(t, server, old); serr == nil || !strings.Contains(serr.Error(), "version") {
		t.Errorf("TLS 1.2: %v", serr)
	}
	if _, err := ClientTLS(mine, ""); err == nil {
		t.Error("without a name")
	}
}

// TestFilesAreReadAgain: a renewed certificate, and even another authority, count
// without a restart; rubbish does not.
func TestFilesAreReadAgain(t *testing.T) {
	a := world(t)
	f := files(a.Dir, "server")
	l := &loader{files: f}
	_, first, err := l.load()
	if err != nil {
		t.Fatal(err)
	}
	load := func() *tls.Certificate {
		t.Helper()
		l.since = time.Time{}
		_, pair, err := l.load()
		if err != nil {
			t.Fatal(err)
		}
		return pair
	}
	if load() != first {
		t.Error("read without need")
	}
	if _, err := a.Renew(Options{Name: "server", Valid: 2 * DefaultValid}); err != nil {
		t.Fatal(err)
	}
	second := load()
	if !second.Leaf.NotAfter.After(first.Leaf.NotAfter) {
		t.Errorf("still the one until %v", second.Leaf.NotAfter)
	}
	if err := os.WriteFile(f.Key, []byte("rubbish"), 0o600); err != nil {
		t.Fatal(err)
	}
	if load() != second {
		t.Error("rubbish counts")
	}
	if err := os.Remove(f.Key); err != nil {
		t.Fatal(err)
	}
	if load() != second {
		t.Error("a missing file counts")
	}
}
