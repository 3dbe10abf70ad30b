package config_test

import (
	"io/fs"
	"os/user"
	"strings"
	"testing/fstest"

	"github.com/ftnet/ftnet/recovery/config"
)

// machine is a small system: the files are in /etc/ftnet.
type machine struct{ files fstest.MapFS }

func newMachine() machine {
	program := &fstest.MapFile{Data: []byte("#!"), Mode: 0o755}
	text := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s), Mode: 0o644} }
	return machine{fstest.MapFS{
		"etc/passwd":              text("root:x:0:0:root:/root:/bin/sh\nwww-data:x:33:33::/:/bin/false\nredis:x:101:101::/:/bin/false\nnobody:x:65534:65534::/:/bin/false\n"),
		"etc/group":               text("root:x:0:\nwww-data:x:33:\nredis:x:101:\nssl-cert:x:102:\n"),
		"etc/ftnet/server":        program,
		"etc/ftnet/counter":       program,
		"etc/ftnet/bin/counter":   program,
		"etc/ftnet/README":        text("Read me."),
		"etc/ftnet/services.toml": text(""),
		"etc/ftnet/ca.pem":        text("PEM"),
		"etc/ftnet/client.pem":    text("PEM"),
		"etc/ftnet/client.key":    text("PEM"),
		"etc/ftnet/log.key":       text("key"),
		"var/lib/dpkg/status":     text(""),
		"srv/web/index.html":      text("hello"),
		"srv/bin/server":          program,
		"usr/bin/redis-server":    program,
		"usr/bin/redis-cli":       program,
		"usr/sbin/nginx":          program,
		"usr/sbin/sshd":           text("not executable"),
		"proc/sys/fs/nr_open":     text("1048576\n"),
	}}
}

func (m machine) Files() fs.FS { return m.files }
func (m machine) Path() string { return "relative:/usr/sbin:/usr/bin:/nowhere" }

func (m machine) User(name string) (*user.User, error) {
	if f := m.account("etc/passwd", name); f != nil {
		return &user.User{Username: f[0], Uid: f[2], Gid: f[3]}, nil
	}
	return nil, user.UnknownUserError(name)
}

func (m machine) Group(name string) (*user.Group, error) {
	if f := m.account("etc/group", name); f != nil {
		return &user.Group{Name: f[0], Gid: f[2]}, nil
	}
	return nil, user.UnknownGroupError(name)
}

func (m machine) account(file, name string) []string {
	for line := range strings.Lines(string(m.files[file].Data)) {
		if f := strings.Split(strings.TrimSpace(line), ":"); f[0] == name || f[2] == name {
			return f
		}
	}
	return nil
}

var _ config.System = machine{}

// add makes programs.
func (m machine) add(paths ...string) {
	for _, path := range paths {
		m.files[path] = &fstest.MapFile{Data: []byte("#!"), Mode: 0o755}
	}
}
