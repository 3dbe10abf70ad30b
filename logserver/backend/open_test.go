package backend

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/ftnet/ftnet/internal/certs"
	"github.com/ftnet/ftnet/logserver"
)

func meta(service string) logserver.Meta {
	return logserver.Meta{Service: service, Flow: logserver.Flow{
		Client: netip.MustParseAddrPort("192.0.2.1:1"), Server: netip.MustParseAddrPort("192.0.2.2:2")}}
}

func TestOpenMemory(t *testing.T) {
	l, err := Open("memory:", Options{QuotaTotal: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, limit := l.Usage(); limit != 1<<20 || !logserver.IsImmediate(l) {
		t.Errorf("limit %d, %T", limit, l)
	}
	if err := l.RegisterService(0); err != nil {
		t.Fatal(err)
	}
	id, err := l.Open(meta("x"))
	if err != nil {
		t.Fatal(err)
	}
	var full *logserver.QuotaError
	if n, err := l.Write(id, 0, make([]byte, 2<<20)); n == 0 || !errors.As(err, &full) || full.Scope != logserver.ScopeTotal {
		t.Errorf("%d, %v", n, err)
	}

	l2, err := Open("memory:", Options{}) // a quarter of the memory, all of it for one connection
	if err != nil {
		t.Fatal(err)
	}
	defer l2.Close()
	if _, limit := l2.Usage(); limit < 1<<20 {
		t.Errorf("limit %d", limit)
	}
}

func TestOpenRefuses(t *testing.T) {
	tls := certs.Files{Authority: "a"}
	for _, tt := range []struct {
		url  string
		o    Options
		says string
	}{
		{"disk", Options{}, "not the URL of a log"},
		{"memory:", Options{KeyFile: "k"}, "a key is for file: only"},
		{"memory:", Options{TLS: tls}, "TLS is for ftlog: only"},
		{"file:///x/y", Options{ServerName: "n"}, "TLS is for ftlog: only"},
		{"memory:", Options{QuotaTotal: -1}, "open the log memory:: "},
	} {
		if l, err := Open(tt.url, tt.o); l != nil || err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v", tt.url, err)
		}
	}
}
