package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ftnet/ftnet/internal/certs"
	"github.com/ftnet/ftnet/recovery/config"
)

// serverFiles makes the certificates of a log server.
func serverFiles(t *testing.T) certs.Files {
	t.Helper()
	a, err := certs.Init(filepath.Join(t.TempDir(), "tls"), certs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Server([]string{"127.0.0.1"}, certs.Options{}); err != nil {
		t.Fatal(err)
	}
	return certs.Files{Authority: a.Dir + "/ca.pem", Cert: a.Dir + "/server.pem", Key: a.Dir + "/server.key"}
}

func TestLogdFlags(t *testing.T) {
	t.Setenv("FTNET_RUNTIME_DIR", "/env")
	tls := serverFiles(t)
	dir := filepath.Dir(tls.Cert)
	flags := "--tls-ca " + tls.Authority + " --tls-cert " + tls.Cert + " --tls-key " + tls.Key
	file := configFile(t, "listen = [\":1\"]\nstore = \"memory:\"\nmax-sessions = 2\nexpire-after = \"1h\"\nlog-level = \"warn\"\ntls = { ca = \""+
		tls.Authority+"\", cert = \""+tls.Cert+"\", key = \""+tls.Key+"\" }\n")
	for line, want := range map[string]config.Logd{
		"--listen :7070 --store memory: " + flags: {Listen: []string{":7070"}, Store: "memory:", TLS: tls, MaxSessions: 256, LogLevel: "info", RuntimeDir: "/env"},
		"--listen :1 --listen 127.0.0.1:2 --quota-total 1GiB --store file://" + dir + " --store-key " + tls.Key + " --max-sessions 5 --expire-after 90m --runtime-dir /r --log-level debug " + flags: {
			Listen: []string{":1", "127.0.0.1:2"}, Store: "file://" + dir, KeyFile: tls.Key, QuotaTotal: 1 << 30, TLS: tls, MaxSessions: 5,
			ExpireAfter: 90 * time.Minute, RuntimeDir: "/r", LogLevel: "debug"},
		"--config " + file: {Listen: []string{":1"}, Store: "memory:", TLS: tls, MaxSessions: 2, ExpireAfter: time.Hour, LogLevel: "warn", RuntimeDir: "/env"},
		"--config " + file + " --listen :9 --max-sessions 3 --log-level off": {
			Listen: []string{":9"}, Store: "memory:", TLS: tls, MaxSessions: 3, ExpireAfter: time.Hour, LogLevel: "off", RuntimeDir: "/env"},
	} {
		var o logdOptions
		cmd := newLogd()
		cmd.ResetFlags()
		o.flags(cmd)
		if err := cmd.ParseFlags(strings.Fields(line)); err != nil {
			t.Fatal(err)
		}
		got, err := o.load()
		if err != nil {
			t.Errorf("%s: %v", line, err)
			continue
		}
		got.Name = ""
		if diff := cmp.Diff(&want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", line, diff)
		}
	}
}

func TestLogdRefuses(t *testing.T) {
	tls := serverFiles(t)
	dir := filepath.Dir(tls.Cert)
	flags := " --tls-ca " + tls.Authority + " --tls-cert " + tls.Cert + " --tls-key " + tls.Key
	wrong := configFile(t, "listen = [\":0\"]\nstore = \"memory:\"\n[tls]\nca = \"nowhere\"\n")
	for line, want := range map[string]struct {
		code int
		says string
	}{
		"logd":                             {exitUsage, "--listen is required, or --config FILE"},
		"logd --listen :1 --store memory:": {exitUsage, "--tls-ca is required"},
		"logd --listen log:1 --store memory:" + flags:                                                                                      {exitUsage, `--listen: "log" is not an IP address`},
		"logd --listen :1 --store /var/x" + flags:                                                                                          {exitUsage, `--store: "/var/x" is not the URL of a log (did you mean "file:///var/x"?)`},
		"logd --listen :1 --store ftlog://h:1" + flags:                                                                                     {exitUsage, "--store: a log server keeps its log itself"},
		"logd --listen :1 --store memory: --store-key " + tls.Key + flags:                                                                  {exitUsage, "--store-key has no meaning"},
		"logd --listen :1 --store memory: --log-level loud" + flags:                                                                        {exitUsage, "--log-level wants "},
		"logd --listen :1 --store memory: --max-sessions 0" + flags:                                                                        {exitUsage, "--max-sessions: 0 is out of range"},
		"logd --listen :1 --store memory: --expire-after -1s" + flags:                                                                      {exitUsage, "--expire-after: "},
		"logd --listen :1 --store memory: --tls-ca " + dir + "/none --tls-cert x --tls-key x":                                              {exitUsage, "--tls-ca: " + dir + "/none does not exist"},
		"logd --listen :1 --store memory: --tls-ca " + tls.Authority + " --tls-cert " + tls.Authority + " --tls-key " + dir + "/ca.key":    {exitEngine, "not the certificate of a server"},
		"logd --check --listen :1 --store memory: --tls-ca " + tls.Authority + " --tls-cert " + tls.Cert + " --tls-key " + dir + "/ca.key": {exitFailed, "with the key"},
		"logd --check --listen :1 --store memory:" + flags:                                                                                 {0, "valid: listens on :1, keeps the log in memory:"},
		"logd --config " + wrong:                  {exitUsage, wrong + ":1:11: listen: port 0"},
		"logd --config " + wrong + " --listen :1": {exitUsage, wrong + `:4:6: tls.ca: `},
		"logd --config " + wrong + ".none":        {exitEngine, "no such file"},
		"logd now":                                {exitUsage, "unexpected argument"},
	} {
		out, code := execute(strings.Fields(line)...)
		if code != want.code || !strings.Contains(out, want.says) {
			t.Errorf("ftnet %s: exit %d:\n%s", line, code, out)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "none")); err == nil {
		t.Error("made")
	}
}
