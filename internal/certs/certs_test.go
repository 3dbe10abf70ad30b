package certs

import (
	"crypto/x509"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// world makes an authority with a server's and a client's certificate.
func world(t *testing.T) *Authority {
	t.Helper()
	a, err := Init(filepath.Join(t.TempDir(), "tls"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Server([]string{"log.example", "127.0.0.1", "::1"}, Options{}); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Client([]string{"web", "cache"}, Options{}); err != nil {
		t.Fatal(err)
	}
	return a
}

func files(dir, name string) Files {
	return Files{Authority: certPath(dir, authorityName), Cert: certPath(dir, name), Key: keyPath(dir, name)}
}

func TestModes(t *testing.T) {
	a := world(t)
	entries, err := os.ReadDir(a.Dir)
	if err != nil || len(entries) != 6 {
		t.Fatalf("%v, %v", entries, err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		want := certMode
		if strings.HasSuffix(e.Name(), keySuffix) {
			want = keyMode
		}
		if info.Mode() != want {
			t.Errorf("%s: %v", e.Name(), info.Mode())
		}
	}
}

func TestNothingIsOverwritten(t *testing.T) {
	a := world(t)
	before, err := os.ReadFile(keyPath(a.Dir, "server"))
	if err != nil {
		t.Fatal(err)
	}
	_, err1 := Init(a.Dir, Options{})
	_, err2 := a.Server([]string{"x"}, Options{})
	_, err3 := a.Client([]string{"x"}, Options{})
	for _, err := range []error{err1, err2, err3} {
		if !errors.Is(err, fs.ErrExist) {
			t.Error(err)
		}
	}
	if after, _ := os.ReadFile(keyPath(a.Dir, "server")); string(after) != string(before) {
		t.Error("the key has changed")
	}
	if c, err := a.Server([]string{"x"}, Options{Force: true}); err != nil || c.DNSNames[0] != "x" {
		t.Error(err)
	}
	if after, _ := os.ReadFile(keyPath(a.Dir, "server")); string(after) == string(before) {
		t.Error("the key has not changed")
	}
	if info, err := os.Stat(keyPath(a.Dir, "server")); err != nil || info.Mode() != keyMode {
		t.Error(info, err)
	}
}

func TestServices(t *testing.T) {
	a := world(t)
	c, err := a.Client([]string{"b", "*", "a.b-c_d", "b"}, Options{Name: "other"})
	if err != nil {
		t.Fatal(err)
	}
	again, err := ReadCert(certPath(a.Dir, "other"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"*", "a.b-c_d", "b"}, Services(again)); diff != "" {
		t.Error(diff)
	}
	if c.URIs[0].String() != "ftnet:service:b" {
		t.Error(c.URIs)
	}
}

func TestRefused(t *testing.T) {
	a := world(t)
	client := func(services ...string) error {
		_, err := a.Client(services, Options{Name: "n"})
		return err
	}
	server := func(name string, names ...string) error {
		_, err := a.Server(names, Options{Name: name})
		return err
	}
	for says, err := range map[string]error{
		"for which services":      client(),
		`"a b" cannot be`:         client("a b"),
		`"a/b" cannot be`:         client("a/b"),
		"by which names":          server("n"),
		`"no host" is neither`:    server("n", "no host"),
		`"10.0.0.1:5" is neither`: server("n", "10.0.0.1:5"),
		"authority's":             server("ca", "x"),
		"name of a file":          server("../x", "x"),
	} {
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want %q", err, says)
		}
	}
	if _, err := Open(t.TempDir()); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "holds no authority") {
		t.Error(err)
	}
	if list, _ := filepath.Glob(filepath.Join(a.Dir, "n.*")); len(list) > 0 {
		t.Errorf("%q are there", list)
	}
}

func TestListAndRenew(t *testing.T) {
	a := world(t)
	other, err := Init(t.TempDir(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := other.Client([]string{"x"}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	write := func(name string, text []byte) {
		if err := os.WriteFile(filepath.Join(a.Dir, name), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("stranger.pem", encodeCert(stranger))
	write("broken.pem", []byte("-----BEGIN"))
	if _, err := a.Server([]string{"s"}, Options{Name: "old", Valid: time.Nanosecond}); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(keyPath(a.Dir, "client"), 0o640); err != nil {
		t.Fatal(err)
	}
	show := func() (lines []string) {
		list, err := List(a.Dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range list {
			line := e.Name + " " + string(e.Kind) + " " + strings.Join(e.Names, ",")
			for _, trouble := range []error{ErrExpired, ErrForeign, ErrKeyless, ErrOpenKey, ErrUnusable} {
				if errors.Is(e.Trouble, trouble) {
					line += ": " + trouble.Error()
				}
			}
			lines = append(lines, line)
		}
		return lines
	}
	ca := "ca authority " + a.Certificate.Subject.CommonName
	want := []string{ca, "broken other : cannot be read", "client client cache,web: others may read its key", "old server s: has expired",
		"server server log.example,127.0.0.1,::1", "stranger client x: not signed by the authority here"}
	if diff := cmp.Diff(want, show()); diff != "" {
		t.Error(diff)
	}

	// The authority first: what it has signed stays valid.
	before := a.Certificate.NotAfter
	for _, name := range []string{"ca", "old", "client"} {
		c, err := a.Renew(Options{Name: name, Valid: 5000 * 24 * time.Hour})
		if err != nil || !c.NotAfter.After(before.Add(time.Hour)) {
			t.Fatalf("%s: %v", name, err)
		}
	}
	want[3] = "old server s"
	if diff := cmp.Diff(want, show()); diff != "" {
		t.Error(diff)
	}
	if _, err := a.Renew(Options{Name: "none"}); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if _, err := ClientTLS(files(a.Dir, "client"), "s"); err != nil {
		t.Error(err)
	}
}

// TestAuthorityBounds: nothing is signed for longer than the authority lives.
func TestAuthorityBounds(t *testing.T) {
	a, err := Init(t.TempDir(), Options{Valid: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	c, err := a.Server([]string{"s"}, Options{})
	if err != nil || !c.NotAfter.Equal(a.Certificate.NotAfter) {
		t.Errorf("%v, %v", c.NotAfter, err)
	}
	if a, err = Init(t.TempDir(), Options{Valid: time.Nanosecond}); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Server([]string{"s"}, Options{}); err == nil || !strings.Contains(err.Error(), "has expired") {
		t.Error(err)
	}
}

func TestFilesCheck(t *testing.T) {
	a := world(t)
	server, client := files(a.Dir, "server"), files(a.Dir, "client")
	with := func(f Files, change func(*Files)) error {
		change(&f)
		return f.Check(KindServer)
	}
	if err := errors.Join(server.Check(KindServer), client.Check(KindClient)); err != nil {
		t.Error(err)
	}
	for says, err := range map[string]error{
		"not the certificate of a client": server.Check(KindClient),
		"not the certificate of a server": client.Check(KindServer),
		"with the key":                    with(server, func(f *Files) { f.Key = client.Key }),
		"no certificate in PEM form":      with(server, func(f *Files) { f.Cert = client.Key }),
		"is not given":                    with(server, func(f *Files) { f.Authority = "" }),
		"no such file":                    with(server, func(f *Files) { f.Key += "x" }),
	} {
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want %q", err, says)
		}
	}
	var invalid x509.CertificateInvalidError
	if errors.As(server.Check(KindServer), &invalid) {
		t.Error(invalid)
	}
}
