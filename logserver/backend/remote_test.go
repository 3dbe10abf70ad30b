package backend

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/ftnet/ftnet/internal/certs"
	"github.com/ftnet/ftnet/logserver"
)

// TestOpenRemote: nobody need be there, but the files must be right.
func TestOpenRemote(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tls")
	a, err := certs.Init(dir, certs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for name, services := range map[string][]string{"client": {"web", "cache"}, "all": {"*"}} {
		if _, err := a.Client(services, certs.Options{Name: name}); err != nil {
			t.Fatal(err)
		}
	}
	files := func(name string) certs.Files {
		return certs.Files{Authority: dir + "/ca.pem", Cert: filepath.Join(dir, name+".pem"), Key: filepath.Join(dir, name+".key")}
	}
	for _, tt := range []struct {
		o    Options
		says string
	}{
		{Options{TLS: files("client"), Services: []string{"web"}}, ""},
		{Options{TLS: files("client")}, ""},
		{Options{TLS: files("all"), Services: []string{"anything"}}, ""},
		{Options{TLS: files("client"), Services: []string{"web", "db"}}, "client.pem is for cache, web, not for db"},
		{Options{TLS: files("none")}, "no such file"},
		{Options{}, "is not given"},
	} {
		l, err := Open("ftlog://127.0.0.1:1", tt.o)
		switch {
		case err == nil && tt.says == "":
			if l.Status()&logserver.Unreachable == 0 {
				t.Error(l.Status())
			}
			_ = l.Close() // nobody takes what it has: nothing
		case err == nil || tt.says == "" || !strings.Contains(err.Error(), tt.says):
			t.Errorf("%v, want %q", err, tt.says)
		}
	}
}
