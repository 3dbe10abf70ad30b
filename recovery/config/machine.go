package config

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// What follows judges a service by what is on the machine.

// Binary identifies a program's file, so that a reload notices when it was
// replaced.
type Binary struct {
	Path          string // absolute
	Device, Inode uint64
	Size          int64
	Modified      int64 // ns since 1970
}

func identify(path string, info fs.FileInfo) Binary {
	b := Binary{Path: path, Size: info.Size(), Modified: info.ModTime().UnixNano()}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		b.Device, b.Inode = uint64(st.Dev), st.Ino
	}
	return b
}

// directory makes the working directory absolute and looks whether it is one.
func (c *checker) directory(s *Service) bool {
	if c.sys == nil {
		return true
	}
	if s.Dir == "" || !filepath.IsAbs(s.Dir) {
		s.Dir = filepath.Join(c.base, s.Dir)
	}
	info, err := stat(c.sys, s.Dir)
	switch {
	case err == nil && info.IsDir():
		return true
	case c.seen["dir"] == nil: // the file is in it, or this is a test
		return true
	case err == nil:
		c.complainOf("dir", "", "dir: %s is not a directory", s.Dir)
	default:
		parent, name := filepath.Split(s.Dir)
		c.complainOf("dir", didYouMeanPath(parent, name, entries(c.sys, parent), "make it, or name another one"), "dir: %s %s", s.Dir, why(err))
	}
	return false
}

// program finds the file of a command and looks whether it can be executed.
func (c *checker) program(path, name, dir string) (Binary, bool) {
	if c.sys == nil {
		return Binary{}, false
	}
	n := c.seen[path].list[0]
	if strings.Contains(name, "/") {
		full := name
		if !filepath.IsAbs(name) {
			full = filepath.Join(dir, name)
		}
		info, err := stat(c.sys, full)
		switch {
		case err != nil:
			parent, base := filepath.Split(full)
			near := didYouMeanPath(parent, base, entries(c.sys, parent), "a relative path begins at the service's dir, "+dir)
			c.complain(n.at, path, near, "%s: %s %s", path, full, why(err))
		case info.IsDir():
			c.complain(n.at, path, "", "%s: %s is a directory", path, full)
		case info.Mode()&0o111 == 0:
			c.complain(n.at, path, "chmod +x "+full, "%s: %s is not executable", path, full)
		default:
			return identify(full, info), true
		}
		return Binary{}, false
	}
	var names []string
	for _, d := range filepath.SplitList(c.sys.Path()) {
		if !filepath.IsAbs(d) {
			continue // as exec.LookPath does
		}
		full := filepath.Join(d, name)
		if info, err := stat(c.sys, full); err == nil && !info.IsDir() && info.Mode()&0o111 != 0 {
			return identify(full, info), true
		}
		names = append(names, entries(c.sys, d)...)
	}
	suggestion := "is it installed? PATH is " + c.sys.Path()
	if info, err := stat(c.sys, filepath.Join(dir, name)); err == nil && !info.IsDir() {
		suggestion = fmt.Sprintf("did you mean %q?", "./"+name)
	}
	c.complain(n.at, path, didYouMean(name, names, suggestion), "%s: there is no program %q", path, name)
	return Binary{}, false
}

func didYouMeanPath(dir, name string, names []string, instead string) string {
	if best, ok := nearest(name, names); ok {
		return fmt.Sprintf("did you mean %q?", filepath.Join(dir, best))
	}
	return instead
}

// why says in few words why a file could not be looked at.
func why(err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "does not exist"
	case errors.Is(err, fs.ErrPermission):
		return "may not be looked at"
	}
	return "cannot be looked at: " + err.Error()
}

func checkUser(c *checker, path string, n *node) {
	name, group, hasGroup := strings.Cut(n.text, ":")
	if name == "" || hasGroup && group == "" {
		c.complain(n.at, path, `write "USER" or "USER:GROUP"`, "%s: %q is incomplete", path, n.text)
		return
	}
	if c.sys == nil {
		return
	}
	_, err := c.sys.User(name)
	switch {
	case err != nil && !isID(name):
		c.complain(n.at, path, didYouMean(name, accounts(c.sys, "etc/passwd"), "make the account, or name another one"), "%s: there is no account %q", path, name)
	case err != nil && !hasGroup:
		c.complain(n.at, path, fmt.Sprintf("write %q", name+":GROUP"), "%s: there is no account %s, so its group is unknown", path, name)
	}
	if hasGroup {
		checkGroup(c, path, n, group)
	}
}

func checkGroups(c *checker, path string, n *node) {
	if c.sys == nil {
		return
	}
	for _, item := range n.list {
		checkGroup(c, path, item, item.text)
	}
}

func checkGroup(c *checker, path string, n *node, name string) {
	if _, err := c.sys.Group(name); err != nil && !isID(name) {
		c.complain(n.at, path, didYouMean(name, accounts(c.sys, "etc/group"), "make the group, or name another one"), "%s: there is no group %q", path, name)
	}
}

// isID reports whether a name is a number that can be a uid or gid.
func isID(name string) bool {
	_, err := strconv.ParseUint(name, 10, 32)
	return err == nil
}

// checkOpenFiles knows that the kernel refuses more than fs.nr_open.
func checkOpenFiles(c *checker, path string, n *node) {
	if c.sys == nil {
		return
	}
	text, err := fs.ReadFile(c.sys.Files(), "proc/sys/fs/nr_open")
	most, parseErr := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	if err != nil || parseErr != nil {
		return
	}
	if l, _ := parseLimit(strings.ReplaceAll(n.text, "_", ""), ""); l.Hard > most {
		c.complain(n.at, path, fmt.Sprintf("at most %d; see the sysctl fs.nr_open", most), "%s: %s is more than the kernel allows", path, n.text)
	}
}
