package config

import (
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/ftnet/ftnet/internal/certs"
	"github.com/ftnet/ftnet/logserver/backend"
)

// Logd is the configuration of a log server, `ftnet logd`.
type Logd struct {
	Name string // the file's path, as it was given

	// The addresses on which engines are listened for: `:PORT`, `IPv4:PORT` or `[IPv6]:PORT`. The flag `--listen`
	// goes before it.
	Listen []string `toml:"listen" unit:"addresses" def:"required" example:":7070" effect:"engine" also:"port address addresses bind"`
	// Where the log is kept: `file:///DIRECTORY`, or `memory:`, which survives the engines' hosts but not the log
	// server. The flag `--store` goes before it.
	Store string `toml:"store" unit:"URL" def:"required" example:"file:///var/lib/ftnet-logd" effect:"engine" also:"url log dir path file backend"`
	// How much the log may take, for the connections of all engines.
	// Default: a quarter of the memory; on a disk 8 GiB, at most half of it.
	QuotaTotal int64 `toml:"quota-total" min:"1MiB" example:"100GiB" effect:"engine" also:"quota size max-size total limit"`
	// With `file:`: the key with which the log is encrypted; without one it is not. 32 bytes, as they are or in
	// hexadecimal or base64, readable by their owner only; `credential:NAME` is the systemd credential of that
	// name.
	KeyFile string `toml:"key-file" unit:"file" example:"/etc/ftnet/log.key" effect:"engine" also:"key encryption encryption-key encrypt"`
	TLS     certs.Files
	// The authorities that may have signed the engines' certificates, in PEM form. `ftnet certs` makes all three.
	// Files that are replaced count from the next connection on, without a restart.
	_ string `toml:"tls.ca" for:"TLS.Authority" unit:"file" def:"required" example:"/etc/ftnet/ca.pem" effect:"engine" also:"cafile ca-file authority root"`
	// The log server's certificate, with the name or address by which engines call it.
	_ string `toml:"tls.cert" for:"TLS.Cert" unit:"file" def:"required" example:"/etc/ftnet/server.pem" effect:"engine" also:"certificate cert-file"`
	// The key of `tls.cert`.
	_ string `toml:"tls.key" for:"TLS.Key" unit:"file" def:"required" example:"/etc/ftnet/server.key" effect:"engine" also:"keyfile private-key"`
	// How many engines can be connected at a time.
	MaxSessions int `toml:"max-sessions" def:"256" min:"1" max:"65536" effect:"engine" also:"sessions connections max-connections clients"`
	// When a connection of which nothing was heard for so long is forgotten, as after an engine that never came
	// back. The log server itself must have run for as long without its engine: clocks may be wrong. `0s`: never.
	// It must exceed the longest silence of a connection that lives.
	ExpireAfter time.Duration `toml:"expire-after" def:"0s" max:"10000h" effect:"engine" also:"expire expiry ttl idle max-age"`
	// Where the status socket is; made if it is missing. `ftnet status` looks there by itself if it is the
	// default. The flag `--runtime-dir` goes before it.
	// Default: `$FTNET_RUNTIME_DIR` or `/run/ftnet-logd`; `$XDG_RUNTIME_DIR/ftnet-logd` for a user who may not
	// write there.
	RuntimeDir string `toml:"runtime-dir" example:"/run/ftnet-logd" effect:"engine" also:"run-dir directory"`
	// Which of the log server's own messages are written. The flag `--log-level` goes before it.
	LogLevel string `toml:"log-level" choices:"trace debug info warn error off" def:"info" effect:"engine" also:"verbosity level loglevel"`
}

func checkStore(c *checker, path string, n *node) {
	if u, err := backend.Parse(n.text); err == nil && u.Kind == backend.Remote {
		c.complain(n.at, path, `write for example "file:///var/lib/ftnet-logd"`, "%s: a log server keeps its log itself, not on another one", path)
		return
	}
	checkURL(c, path, n)
}

// loadLogd reads and checks the file of a log server. What flags will say is
// not missed in it. An error is [Diagnostics], unless the file could not be read.
func loadLogd(path string, flags ...string) (*Logd, error) {
	data, err := read(path)
	if err != nil {
		return nil, err
	}
	return parseLogd(path, data, thisHost(), flags...)
}

// parseLogd is parseFile for the file of a log server.
func parseLogd(name string, data []byte, sys system, flags ...string) (*Logd, error) {
	c, err := newChecker(name, data, sys)
	if err != nil {
		return nil, err
	}
	top := &node{kind: isTable, list: slices.Clone(c.root.list)}
	if i := slices.IndexFunc(top.list, func(n *node) bool { return n.key == "service" }); i >= 0 {
		c.complain(top.list[i].name, "", "use ftnet serve --config", "this is not the file of a log server: it has services")
		return nil, c.diags.sort()
	}
	l := c.decodeLogd(name, top, flags...)
	if len(c.diags) == 0 {
		c.lastWord()
	}
	if len(c.diags) > 0 {
		return nil, c.diags.sort()
	}
	return l, nil
}

// decodeLogd decodes the file's table. What is missing in it is said, but of some keys.
func (c *checker) decodeLogd(name string, top *node, except ...string) *Logd {
	l := &Logd{Name: name}
	dst := reflect.ValueOf(l).Elem()
	logdSchema.fill(dst)
	c.decode(logdSchema, top, "", dst)
	c.require(logdSchema, 0, except...)
	c.store(l)
	return l
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
