package config

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// checks judge values of the file that are of the right type by themselves, by the keys'
// paths. What depends on other keys is judged afterwards.
var checks = map[string]func(c *checker, path string, n *node){
	"log.url": checkURL, "log.key-file": checkKeyFile, "log.tls.ca": checkFile, "log.tls.cert": checkFile, "log.tls.key": checkFile,
	"engine.interfaces": checkInterfaces, "engine.runtime-dir": checkRuntimeDir, "engine.bpffs": checkBPFFS,
	"name": checkName, "listen": checkListen, "command": checkCommand, "env": checkEnv, "dir": checkDir,
	"user": checkUser, "groups": checkGroups, "ready.address": checkProbeAddress, "ready.command": checkCommand,
	"interfaces": checkInterfaces, "limits.nofile": checkOpenFiles,
	"store": checkStore, "key-file": checkKeyFile, "tls.ca": checkFile, "tls.cert": checkFile, "tls.key": checkFile, "runtime-dir": checkLogDir,
}

var nameForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// reserved are names whose sockets are the engine's own.
var reserved = []string{"admin", "north", "status"}

func checkName(c *checker, path string, n *node) {
	switch {
	case n.text == "":
		c.complain(n.at, path, "", "the name is empty")
	case !nameForm.MatchString(n.text):
		c.complain(n.at, path, `letters, digits, ".", "_" and "-", at most 64, the first one a letter or digit`, "%q cannot be a name", n.text)
	case slices.Contains(reserved, n.text):
		c.complain(n.at, path, "choose another one", "the name %q is ftnet's own", n.text)
	}
}

// The path of a socket in the runtime directory must fit sockaddr_un. To the
// directory come "/", an engine's id, "/", a name and ".sock".
const (
	longestRuntimeDir = longestLogDir + len("status") - 64
	longestLogDir     = 108 - 1 - len("/00000000/") - len("status.sock")
)

func checkRuntimeDir(c *checker, path string, n *node) {
	checkDirectory(c, path, n, longestRuntimeDir)
}

// checkLogDir is for a directory whose sockets' names are all known.
func checkLogDir(c *checker, path string, n *node) { checkDirectory(c, path, n, longestLogDir) }

func checkBPFFS(c *checker, path string, n *node) {
	if !filepath.IsAbs(n.text) {
		c.complain(n.at, path, "write it from the root, such as \"/sys/fs/bpf\"", "%s: %q is a relative path", path, n.text)
	}
}

func checkDirectory(c *checker, path string, n *node, longest int) {
	switch {
	case !filepath.IsAbs(n.text):
		c.complain(n.at, path, "write it from the root, such as \"/run/ftnet\"", "%s: %q is a relative path", path, n.text)
	case len(n.text) > longest:
		c.complain(n.at, path, fmt.Sprintf("at most %d bytes", longest), "%s is too long for the sockets in it", path)
	}
}

func checkCommand(c *checker, path string, n *node) {
	if len(n.list) == 0 || n.list[0].text == "" {
		c.complain(n.at, path, `write for example command = ["./server", "-v"]`, "%s is empty", path)
	}
}

func checkEnv(c *checker, path string, n *node) {
	for _, item := range n.list {
		switch {
		case item.key == "" || strings.Contains(item.key, "="):
			c.complain(item.name, path+"."+item.key, "", "%s: %q cannot be the name of a variable", path, item.key)
		case item.key == "FTNET_ENGINE":
			c.complain(item.name, path+"."+item.key, "remove it", "%s: FTNET_ENGINE is set by ftnet", path)
		}
	}
}

func checkDir(c *checker, path string, n *node) {
	if n.text == "" {
		c.complain(n.at, path, "remove the key, if the directory of the file is meant", "%s is empty", path)
	}
}
