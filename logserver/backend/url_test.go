package backend

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]URL{
		"memory:":                   {Kind: Memory},
		"file:///var/lib/ftnet":     {Kind: Disk, Dir: "/var/lib/ftnet"},
		"file:/var/lib//ftnet/":     {Kind: Disk, Dir: "/var/lib/ftnet"},
		"file:///a%20b":             {Kind: Disk, Dir: "/a b"},
		"ftlog://log.example:7070":  {Kind: Remote, Host: "log.example", Port: "7070"},
		"ftlog://192.0.2.1:07070/":  {Kind: Remote, Host: "192.0.2.1", Port: "7070"},
		"ftlog://[2001:db8::1]:1":   {Kind: Remote, Host: "2001:db8::1", Port: "1"},
		"ftlog://[fe80::1%eth0]:11": {Kind: Remote, Host: "fe80::1%eth0", Port: "11"},
	} {
		got, err := Parse(text)
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
		if again, err := Parse(got.String()); err != nil || again != got {
			t.Errorf("%s: %s: %+v, %v", text, got, again, err)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for text, says := range map[string]string{
		"":                          "it is empty",
		"memory":                    `did you mean "memory:"?`,
		"memory://":                 `did you mean "memory:"?`,
		"memry:":                    `did you mean "memory:"?`,
		"Memory:":                   `did you mean "memory:"?`,
		"/var/lib/ftnet":            `did you mean "file:///var/lib/ftnet"?`,
		"var/lib":                   `use "memory:"`,
		"file:log":                  "not written from the root",
		"file:":                     "not written from the root",
		"file://var/lib":            `did you mean "file:///var/lib"?`,
		"file:///":                  "root directory",
		"file:///a?sync=no":         `remove what begins with "?sync=no"`,
		"file:///a#b":               `remove what begins with "#b"`,
		"file:///a%zz":              "%25",
		"file:///a%00":              "NUL",
		"FILE:///a":                 `did you mean "file:///a"?`,
		"ftlog:host:1":              `did you mean "ftlog://host:1"?`,
		"ftlog://host":              `the port is missing (write "ftlog://host:PORT")`,
		"ftlog://host:":             `write "ftlog://host:PORT"`,
		"ftlog://host:http":         "from 1 to 65535",
		"ftlog://host:0":            "from 1 to 65535",
		"ftlog://:1":                "the host is missing",
		"ftlog://a b:1":             "neither a host's name nor an IP address",
		"ftlog://2001:db8::1":       `write "ftlog://[2001:db8::1]:PORT"`,
		"ftlog://0.0.0.0:1":         "no host has this address",
		"ftlog://user@host:1":       "more than host and port",
		"ftlog://host:1/dir":        "more than host and port",
		"log.example:7070":          `did you mean "ftlog://log.example:7070"?`,
		"http://log.example:7070":   `there is no backend "http:"`,
		"redis:x":                   `there is no backend "redis:"`,
		"postgres://localhost/logs": known,
	} {
		_, err := Parse(text)
		var wrong *URLError
		if !errors.As(err, &wrong) || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, want %q", text, err, says)
		}
	}
}

func TestReadKey(t *testing.T) {
	dir := t.TempDir()
	raw := "0123456789abcdef0123456789ABCDEF"
	put := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	hexa := "3031323334353637383961626364656630313233343536373839414243444546"
	for name, text := range map[string]string{
		"raw": raw, "hex": hexa + "\n", "base64": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlBQkNERUY=\n",
	} {
		if key, err := ReadKey(put(name, text, 0o600)); err != nil || string(key) != raw {
			t.Errorf("%s: %q, %v", name, key, err)
		}
	}
	t.Setenv("CREDENTIALS_DIRECTORY", dir)
	put("passed", raw, 0o440)
	if key, err := ReadKey("credential:passed"); err != nil || string(key) != raw {
		t.Errorf("%q, %v", key, err)
	}
	for path, says := range map[string]string{
		put("short", raw[1:], 0o600):       "holds no key",
		put("long", raw+"\n", 0o600):       "holds no key",
		put("much", hexa+hexa+"00", 0o600): "holds no key",
		put("open", raw, 0o640):            "chmod 600",
		filepath.Join(dir, "none"):         "no such file",
		"credential:../x":                  "cannot be the name",
		"credential:none":                  "no such file",
	} {
		if _, err := ReadKey(path); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %q", path, err, says)
		}
	}
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	if _, err := ReadKey("credential:passed"); err == nil || !strings.Contains(err.Error(), "LoadCredential=passed:") {
		t.Error(err)
	}
}
