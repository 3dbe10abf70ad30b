package daemon

import (
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"

	"github.com/ftnet/ftnet/recovery"
	"github.com/ftnet/ftnet/recovery/config"
)

// TestHostConfig: nothing that the file says of engine and log is forgotten.
func TestHostConfig(t *testing.T) {
	log, engine := config.Defaults()
	log.ServerName, engine.MaxConnections = "n", 7
	services := []config.Service{{Name: "a"}, {Name: "b"}}
	got := hostConfig(&config.File{Log: log, Engine: engine, Services: services}, hclog.Default())
	want := recovery.HostConfig{Log: log, Engine: engine, Services: services, Unmodified: true, Logger: hclog.Default()}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
}

// TestEnviron: a service is not told what is meant for the daemon.
func TestEnviron(t *testing.T) {
	own := []string{"PATH=/bin", "NOTIFY_SOCKET=/run/n", "WATCHDOG_USEC=1", "WATCHDOG_PID=2", "LANG=C"}
	if diff := cmp.Diff([]string{"PATH=/bin", "LANG=C"}, environ(own)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if own[1] != "NOTIFY_SOCKET=/run/n" {
		t.Error("the daemon's own environment was changed")
	}
}
