package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ftnet/ftnet/internal/certs"
	"github.com/ftnet/ftnet/recovery/config"
)

func TestLogd(t *testing.T) {
	tls := certs.Files{Authority: "/etc/ftnet/ca.pem", Cert: "/etc/ftnet/client.pem", Key: "/etc/ftnet/client.key"}
	for text, want := range map[string]config.Logd{
		"listen = [\":7070\"]\nstore = \"memory:\"\ntls = { ca = \"ca.pem\", cert = \"client.pem\", key = \"client.key\" }": {
			Listen: []string{":7070"}, Store: "memory:", TLS: tls, MaxSessions: 256, LogLevel: "info",
		},
		`listen = ["192.0.2.1:7070", "[::1]:7070"]
store = "file:///var/lib/ftnet-logd"
quota-total = "100GiB"
key-file = "log.key"
max-sessions = 3
expire-after = "240h"
runtime-dir = "/run/x/"
log-level = "warn"
[tls]
ca = "/etc/ftnet/ca.pem"
cert = "/etc/ftnet/client.pem"
key = "/etc/ftnet/client.key"
`: {
			Listen: []string{"192.0.2.1:7070", "[::1]:7070"}, Store: "file:///var/lib/ftnet-logd", QuotaTotal: 100 << 30, KeyFile: "/etc/ftnet/log.key",
			TLS: tls, MaxSessions: 3, ExpireAfter: 240 * time.Hour, RuntimeDir: "/run/x", LogLevel: "warn",
		},
	} {
		got, err := config.ParseLogd("/etc/ftnet/logd.toml", []byte(text), newMachine())
		if err != nil {
			t.Errorf("%v\n%s", err, text)
			continue
		}
		want.Name = "/etc/ftnet/logd.toml"
		if diff := cmp.Diff(&want, got); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	}
	if _, err := config.ParseLogd("x", nil, newMachine(), "listen", "store", "tls.ca", "tls.cert", "tls.key"); err != nil {
		t.Errorf("flags say it all: %v", err)
	}
	if _, err := config.LoadLogd(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}
