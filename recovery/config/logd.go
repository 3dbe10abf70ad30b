package config

import (
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ftnet/ftnet/internal/certs"
	"github.com/ftnet/ftnet/logserver/backend"
)

// Logd is the configuration of a log server, `ftnet logd`.
type Logd struct {
	Name        string   // the file's path, as it was given
	Listen      []string // "HOST:PORT" with an IP address or nothing as HOST
	Store       string   // see backend.Parse; on this host
	QuotaTotal  int64    // see backend.Options
	KeyFile     string   // see backend.ReadKey; absolute, unless it is a credential
	TLS         certs.Files
	MaxSessions int
	ExpireAfter time.Duration // 0: never
	RuntimeDir  string        // "" if the file does not say; otherwise absolute
	LogLevel    string
}

func checkStore(c *checker, path string, n *node) {
	if u, err := backend.Parse(n.text); err == nil && u.Kind == backend.Remote {
		c.complain(n.at, path, `write for example "file:///var/lib/ftnet-logd"`, "%s: a log server keeps its log itself, not on another one", path)
		return
	}
	checkURL(c, path, n)
}

// LoadLogd reads and checks the file of a log server. What flags will say is
// not missed in it. An error is [Diagnostics], unless the file could not be read.
func LoadLogd(path string, flags ...string) (*Logd, error) {
	data, err := read(path)
	if err != nil {
		return nil, err
	}
	return ParseLogd(path, data, Host(), flags...)
}

// ParseLogd is [Parse] for the file of a log server.
func ParseLogd(name string, data []byte, sys System, flags ...string) (*Logd, error) {
	c, err := newChecker(name, data, sys)
	if err != nil {
		return nil, err
	}
	l := &Logd{Name: name}
	defaults(logdKeys, l)
	top := &node{kind: isTable, list: slices.Clone(c.root.list)}
	if i := slices.IndexFunc(top.list, func(n *node) bool { return n.key == "service" }); i >= 0 {
		c.complain(top.list[i].name, "", "use ftnet serve --config", "this is not the file of a log server: it has services")
		return nil, c.diags.sort()
	}
	decode(c, logdKeys, top, "", l)
	var keys []key[Logd]
	for _, k := range logdKeys {
		if !slices.Contains(flags, k.path) {
			keys = append(keys, k)
		}
	}
	require(c, keys, 0)
	c.store(l)
	if len(c.diags) == 0 {
		c.lastWord()
	}
	if len(c.diags) > 0 {
		return nil, c.diags.sort()
	}
	return l, nil
}

// store checks what belongs to one kind of store only, and completes paths.
func (c *checker) store(l *Logd) {
	if u, err := backend.Parse(l.Store); err == nil && u.Kind != backend.Disk && c.seen["key-file"] != nil && c.seen["store"] != nil {
		c.complain(c.seen["key-file"].name, "key-file", "remove it", "key-file has no meaning with the store %q: it is for file:", l.Store)
	}
	for _, path := range []*string{&l.KeyFile, &l.TLS.Authority, &l.TLS.Cert, &l.TLS.Key} {
		if *path != "" && !strings.HasPrefix(*path, backend.CredentialPrefix) {
			*path = c.absolute(*path)
		}
	}
	if l.RuntimeDir != "" {
		l.RuntimeDir = filepath.Clean(l.RuntimeDir)
	}
}
