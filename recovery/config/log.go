package config

import (
	"errors"
	"path/filepath"
	"strings"

	"github.com/ftnet/ftnet/logserver/backend"
)

func checkURL(c *checker, path string, n *node) {
	u, err := backend.Parse(n.text)
	var wrong *backend.URLError
	if errors.As(err, &wrong) {
		problem := ""
		if wrong.Problem != "" {
			problem = ": " + wrong.Problem
		}
		c.complain(n.at, path, wrong.Suggestion, "%s: %q is not the URL of a log%s", path, n.text, problem)
		return
	}
	if u.Kind != backend.Disk || c.sys == nil {
		return
	}
	// ftnet makes the directory, but not those above it: one that is not mounted
	// is not to be filled.
	parent := filepath.Dir(u.Dir)
	if info, err := stat(c.sys, u.Dir); err == nil && !info.IsDir() {
		c.complain(n.at, path, "", "%s: %s is not a directory", path, u.Dir)
	} else if _, above := stat(c.sys, parent); err != nil && above != nil {
		c.complain(n.at, path, "make it; only "+filepath.Base(u.Dir)+" is made by ftnet", "%s: %s %s", path, parent, why(above))
	}
}

func checkKeyFile(c *checker, path string, n *node) {
	if name, credential := strings.CutPrefix(n.text, backend.CredentialPrefix); credential {
		if name == "" || strings.Contains(name, "/") {
			c.complain(n.at, path, "write \"credential:NAME\"", "%s: %q cannot be the name of a credential", path, name)
		}
		return
	}
	checkFile(c, path, n)
}

// checkFile wants a file that can be read.
func checkFile(c *checker, path string, n *node) {
	if n.text == "" {
		c.complain(n.at, path, "name a file, or remove the key", "%s is empty", path)
		return
	}
	if c.sys == nil {
		return
	}
	full := c.absolute(n.text)
	info, err := stat(c.sys, full)
	switch {
	case err != nil:
		parent, name := filepath.Split(full)
		near := didYouMeanPath(parent, name, entries(c.sys, parent), "a relative path begins at the directory of this file, "+c.base)
		c.complain(n.at, path, near, "%s: %s %s", path, full, why(err))
	case info.IsDir():
		c.complain(n.at, path, "", "%s: %s is a directory", path, full)
	}
}

// absolute is a path of the file.
func (c *checker) absolute(path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(c.base, path)
}

// log checks what the keys of [log] mean together, and completes their paths.
func (c *checker) log(l *Log) {
	u, err := backend.Parse(l.URL)
	if n := c.seen["log.url"]; err == nil && (n == nil || n.kind == isString) {
		c.belongs(u.Kind)
	}
	for _, path := range []*string{&l.KeyFile, &l.TLS.Authority, &l.TLS.Cert, &l.TLS.Key} {
		if *path != "" && !strings.HasPrefix(*path, backend.CredentialPrefix) {
			*path = c.absolute(*path)
		}
	}
}

// belongs checks which keys are there for this kind of log.
func (c *checker) belongs(kind backend.Kind) {
	only := func(of, suggestion string, paths ...string) {
		for _, path := range paths {
			if n := c.seen[path]; n != nil {
				c.complain(n.name, path, suggestion, "%s has no meaning with the log %q: it is for %s", path, string(kind)+":", of)
			}
		}
	}
	tls := []string{"log.tls.ca", "log.tls.cert", "log.tls.key"}
	if kind != backend.Disk {
		only("file:", "remove it", "log.key-file")
	}
	if kind == backend.Memory {
		only("file: and ftlog:", "remove it: nothing outlives ftnet there", "log.recover")
	}
	if kind != backend.Remote {
		only("ftlog:", "remove it", append(tls, "log.tls.server-name")...)
		return
	}
	only("memory: and file:", "remove it, and give the log server its own: ftnet logd --quota-total", "log.quota-total")
	for _, path := range tls {
		if c.seen[path] == nil && !c.broken {
			c.complainOf("log.url", "add for example "+path+" = "+fileSchema.key(path).sample()+"; ftnet certs makes it", "a log server needs %s", path)
		}
	}
}
