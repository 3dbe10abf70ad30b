package config

import (
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strings"
)

// system is what a file is checked against. What a command line or a program says is
// checked against none.
type system interface {
	// Files returns the file system, from its root.
	Files() fs.FS
	// Path returns the directories in which programs are looked for, separated
	// by colons.
	Path() string
	// User looks an account up, by name or number; Group a group.
	User(name string) (*user.User, error)
	Group(name string) (*user.Group, error)
}

// thisHost is this machine.
func thisHost() system { return host{} }

type host struct{}

func (host) Files() fs.FS { return os.DirFS("/") }
func (host) Path() string { return os.Getenv("PATH") }

// User prefers a name, as chown does: an account may be called "1000".
func (host) User(name string) (*user.User, error) {
	u, err := user.Lookup(name)
	if err != nil && isID(name) {
		return user.LookupId(name)
	}
	return u, err
}

func (host) Group(name string) (*user.Group, error) {
	g, err := user.LookupGroup(name)
	if err != nil && isID(name) {
		return user.LookupGroupId(name)
	}
	return g, err
}

// stat is os.Stat by way of the system's files. The path must be absolute.
func stat(sys system, path string) (fs.FileInfo, error) {
	return fs.Stat(sys.Files(), inFS(path))
}

// inFS is an absolute path as package io/fs wants it.
func inFS(path string) string {
	if path = strings.TrimPrefix(filepath.Clean(path), "/"); path == "" {
		return "."
	}
	return path
}

// entries returns the names in a directory; none if it cannot be read.
func entries(sys system, dir string) []string {
	list, _ := fs.ReadDir(sys.Files(), inFS(dir))
	names := make([]string, len(list))
	for i := range list {
		names[i] = list[i].Name()
	}
	return names
}

// accounts returns the names in /etc/passwd or /etc/group. It is for
// suggestions only: other sources of accounts exist.
func accounts(sys system, file string) []string {
	text, _ := fs.ReadFile(sys.Files(), file)
	var names []string
	for line := range strings.Lines(string(text)) {
		if name, _, ok := strings.Cut(line, ":"); ok {
			names = append(names, name)
		}
	}
	return names
}
