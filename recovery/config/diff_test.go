package config_test

import (
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ftnet/ftnet/recovery/config"
)

const two = `[log]
url = "memory:"
[engine]
log-level = "info"
[[service]]
name = "web"
mode = "unmodified"
listen = [":80"]
command = ["nginx"]
limits.nofile = 1024
groups = []
[[service]]
name = "ours"
mode = "listen"
command = ["./server"]
`

func names(list []*config.Service) (names []string) {
	for _, s := range list {
		names = append(names, s.Name)
	}
	return names
}

func TestDiff(t *testing.T) {
	type result struct {
		Added, Removed, Restarted, Policy, Live, Restart []string
	}
	for _, test := range []struct {
		name, from, to string
		want           result
	}{
		{"nothing", "", "", result{}},
		{"a comment and another form", "limits.nofile = 1024\ngroups = []\n", "groups = []\nargs = [] # none\nenv = {}\n[service.limits]\nnofile = \"1024:1024\"\n", result{}},
		{"command", `["nginx"]`, `["nginx", "-q"]`, result{Restarted: []string{"web: command"}}},
		{"arguments", `["nginx"]`, "[\"nginx\"]\nargs = [\"-q\"]", result{Restarted: []string{"web: args"}}},
		{"environment and user", `["nginx"]`, "[\"nginx\"]\nenv.A = \"b\"\nuser = \"www-data\"\ndir = \"/srv\"", result{Restarted: []string{"web: env", "web: dir", "web: user"}}},
		{"limits", "limits.nofile = 1024", "limits.nofile = 2048\nlimits.core = 0", result{Restarted: []string{"web: limits.core", "web: limits.nofile"}}},
		{"no groups or those of the user", "groups = []\n", "", result{Restarted: []string{"web: groups"}}},
		{"listen", `[":80"]`, `[":80", ":81"]`, result{Restarted: []string{"web: listen"}}},
		{"policy", `["nginx"]`, "[\"nginx\"]\nquota = \"1MiB\"\ncompare = \"length\"\nrestart = \"never\"\nready = \"tcp\"\nlog.since = \"idle\"\nstop.signal = \"QUIT\"\ndrain = \"1s\"\non-full = \"reset\"", result{
			Policy: []string{"web: ready.probe", "web: ready.address", "web: restart.policy", "web: stop.signal", "web: drain", "web: quota", "web: on-full", "web: log", "web: compare"},
		}},
		{"both", `["nginx"]`, "[\"nginx\"]\nquota = \"1MiB\"\nargs = [\"-q\"]", result{Restarted: []string{"web: args"}, Policy: []string{"web: quota"}}},
		{"mode", "mode = \"listen\"\n", "mode = \"unmodified\"\nlisten = [\":81\"]\n", result{Added: []string{"ours"}, Removed: []string{"ours"}}},
		{"name", `"ours"`, `"theirs"`, result{Added: []string{"theirs"}, Removed: []string{"ours"}}},
		{"added", "[[service]]\nname = \"web\"", "[[service]]\nname = \"new\"\nmode = \"listen\"\ncommand = [\"./server\"]\n[[service]]\nname = \"web\"", result{Added: []string{"new"}}},
		{"removed", "[[service]]\nname = \"ours\"\nmode = \"listen\"\ncommand = [\"./server\"]\n", "", result{Removed: []string{"ours"}}},
		{"order", two[strings.Index(two, "[[service]]\nname = \"web\""):], "[[service]]\nname = \"ours\"\nmode = \"listen\"\ncommand = [\"./server\"]\n[[service]]\nname = \"web\"\nmode = \"unmodified\"\nlisten = [\":80\"]\ncommand = [\"nginx\"]\nlimits.nofile = 1024\ngroups = []\n", result{}},
		{"level", `"info"`, `"debug"`, result{Live: []string{"engine.log-level"}}},
		{"engine", `log-level = "info"`, "max-connections = 9\nruntime-dir = \"/run/x\"", result{Restart: []string{"engine.max-connections", "engine.runtime-dir"}}},
		{"log", `url = "memory:"`, `quota-total = "1GiB"`, result{Restart: []string{"log.quota-total"}}},
		{"interfaces of all", `log-level = "info"`, `interfaces = ["lo"]`, result{Restart: []string{"engine.interfaces"}}},
		{"interfaces of the services", `command = `, "interfaces = [\"lo\"]\ncommand = ", result{Restart: []string{"engine.interfaces"}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if !strings.Contains(two, test.from) {
				t.Fatalf("%q is not in the file", test.from)
			}
			c := parse(t, two).Diff(parse(t, strings.ReplaceAll(two, test.from, test.to)))
			got := result{Added: names(c.Added), Removed: names(c.Removed), Live: c.Live, Restart: c.Restart}
			for _, change := range c.Changed {
				for _, k := range change.Restart {
					got.Restarted = append(got.Restarted, change.New.Name+": "+k)
				}
				for _, k := range change.Policy {
					got.Policy = append(got.Policy, change.New.Name+": "+k)
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if c.Empty() != cmp.Equal(test.want, result{}) {
				t.Errorf("Empty is %v", c.Empty())
			}
		})
	}
}

// TestReplacedBinary is a deploy: the file says the same, the program's file
// is another one.
func TestReplacedBinary(t *testing.T) {
	m := newMachine()
	read := func() *config.File {
		f, err := config.Parse("/etc/ftnet/services.toml", []byte(two), m)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	old := read()
	m.files["etc/ftnet/server"] = &fstest.MapFile{Data: []byte("#!"), Mode: 0o755, ModTime: time.Unix(1, 0)}
	c := old.Diff(read())
	if len(c.Changed) != 1 || c.Changed[0].New.Name != "ours" || !cmp.Equal(c.Changed[0].Restart, []string{"binary"}) {
		t.Errorf("%+v", c)
	}
}
