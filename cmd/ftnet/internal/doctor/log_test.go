package doctor

import (
	"crypto/tls"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ftnet/ftnet/internal/certs"
	"github.com/ftnet/ftnet/logserver/backend"
)

// worst returns the worst level and all that was said.
func worst(results []Result) (Level, string) {
	level, text := OK, ""
	for _, r := range results {
		if r.Level == Fail || r.Level == Warn && level == OK {
			level = r.Level
		}
		text += r.Name + ": " + r.Detail + " -> " + r.Advice + "\n"
	}
	return level, text
}

func TestLogDirectory(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	open := filepath.Join(dir, "open")
	if err := os.Mkdir(open, 0o755); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("0123456789abcdef0123456789abcdef"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		dir, key string
		want     Level
		says     string
	}{
		{dir, "", OK, "can be written; a sync takes"},
		{dir, "", OK, "not encrypted"},
		{dir, file, OK, "log key: " + file},
		{dir, dir + "/none", Fail, "no such file"},
		{dir + "/new", "", OK, dir + " can be written"},
		{dir + "/new/er", "", Fail, "make " + dir + "/new"},
		{open, "", Warn, "chmod 700 " + open},
		{file, "", Fail, "is not a directory"},
		{file + "/x", "", Fail, "not a directory"},
	} {
		level, text := worst(Log(backend.URL{Kind: backend.Disk, Dir: tt.dir}, backend.Options{KeyFile: tt.key}, nil))
		if tt.want == OK && level == Warn && (strings.Contains(text, "tmpfs") || strings.Contains(text, "are free") || strings.Contains(text, "wait for it")) {
			level = OK // of this machine
		}
		if level != tt.want || !strings.Contains(text, tt.says) {
			t.Errorf("%s %s: %v, want %v with %q\n%s", tt.dir, tt.key, level, tt.want, tt.says, text)
		}
	}
	if list, _ := filepath.Glob(dir + "/.ftnet*"); len(list) > 0 {
		t.Errorf("left behind: %q", list)
	}
	if level, text := worst(Log(backend.URL{Kind: backend.Memory}, backend.Options{}, nil)); level != OK || !strings.Contains(text, "in memory") {
		t.Error(level, text)
	}
}

// answer is a log server's end of TLS.
func answer(t *testing.T, f certs.Files) backend.URL {
	t.Helper()
	cfg, err := certs.ServerTLS(f)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s := tls.Server(c, cfg)
			if s.Handshake() == nil {
				_, _ = s.Read(make([]byte, 1)) // nothing comes
			}
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	host, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return backend.URL{Kind: backend.Remote, Host: host, Port: port}
}

func TestLogServer(t *testing.T) {
	make1 := func() (dir string, server, client certs.Files) {
		a, err := certs.Init(filepath.Join(t.TempDir(), "tls"), certs.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.Server([]string{"127.0.0.1"}, certs.Options{}); err != nil {
			t.Fatal(err)
		}
		if _, err := a.Client([]string{"web", "cache"}, certs.Options{}); err != nil {
			t.Fatal(err)
		}
		files := func(name string) certs.Files {
			return certs.Files{Authority: a.Dir + "/ca.pem", Cert: a.Dir + "/" + name + ".pem", Key: a.Dir + "/" + name + ".key"}
		}
		return a.Dir, files("server"), files("client")
	}
	dir, server, client := make1()
	_, _, foreign := make1()
	u := answer(t, server)
	a, err := certs.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Client([]string{"*"}, certs.Options{Name: "short", Valid: 48 * time.Hour}); err != nil {
		t.Fatal(err)
	}
	short := certs.Files{Authority: client.Authority, Cert: dir + "/short.pem", Key: dir + "/short.key"}
	mixed := foreign
	mixed.Authority = client.Authority
	nobody := u
	nobody.Port = "1"
	for _, tt := range []struct {
		u        backend.URL
		f        certs.Files
		name     string
		services []string
		want     Level
		says     string
	}{
		{u, client, "", []string{"web"}, OK, "answers"},
		{u, client, "", nil, OK, "for cache, web: until"},
		{u, client, "", []string{"web", "db"}, Fail, "is for cache, web, not for db"},
		{u, client, "other.example", nil, Fail, "for the name other.example"},
		{u, short, "", []string{"anything"}, Warn, "certs renew"},
		{u, foreign, "", nil, Fail, "signed by log.tls.ca"},
		{u, mixed, "", nil, Fail, "refuses the engine's certificate"},
		{u, server, "", nil, Fail, "not the certificate of a client"},
		{nobody, client, "", nil, Fail, "cannot be reached"},
	} {
		level, text := worst(Log(tt.u, backend.Options{TLS: tt.f, ServerName: tt.name}, tt.services))
		if level != tt.want || !strings.Contains(text, tt.says) {
			t.Errorf("%+v: %v\n%s", tt, level, text)
		}
	}
	if err := os.Chmod(client.Key, 0o644); err != nil {
		t.Fatal(err)
	}
	if level, text := worst(Log(u, backend.Options{TLS: client}, nil)); level != Warn || !strings.Contains(text, "chmod 600") {
		t.Error(level, text)
	}
}
