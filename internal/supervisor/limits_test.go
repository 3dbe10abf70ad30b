package supervisor

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/internal/lab/testenv"
)

// limitsOf starts a shell that prints what ulimit tells for the flags.
func limitsOf(t *testing.T, flags string, edit func(*Config)) []string {
	t.Helper()
	script := "id -u"
	for _, f := range strings.Fields(flags) {
		script += "; ulimit " + f
	}
	r := newRig(t).run(t.Context(), "", func(c *Config) {
		c.Command, c.Env = []string{"sh", "-c", script}, os.Environ()
		edit(c)
	})
	var got []string
	for range 1 + len(strings.Fields(flags)) {
		got = append(got, r.line())
	}
	if err := r.wait(); err != nil {
		t.Error(err)
	}
	return got
}

func TestLimits(t *testing.T) {
	testenv.RequireTool(t, "sh")
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &before); err != nil {
		t.Fatal(err)
	}
	// The shell reads its limits as early as a program can; a race would show.
	for range 20 {
		got := limitsOf(t, "-Sn -Hn -Sc -Hc -f", func(c *Config) {
			c.Limits = []Limit{{"nofile", 17, 23}, {"core", 0, 512 * 1024}, {"fsize", 4096 * 512, 4096 * 512}}
		})
		if want := []string{"0", "17", "23", "0", "1024", "4096"}; !slices.Equal(got[1:], want[1:]) {
			t.Fatalf("got %v, want %v", got, want)
		}
	}
	var after unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &after); err != nil || after != before {
		t.Errorf("this process's own limit is %v, was %v (%v)", after, before, err)
	}
}

// TestLimitsOfUser: also where user and groups change.
func TestLimitsOfUser(t *testing.T) {
	testenv.RequireRoot(t)
	got := limitsOf(t, "-Sn -Hn", func(c *Config) {
		c.User, c.Limits = "65534:65534", []Limit{{"nofile", 100, 200}}
	})
	if want := []string{"65534", "100", "200"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestLimitsThenKilled: a traced start leaves a process like any other.
func TestLimitsThenKilled(t *testing.T) {
	r := newRig(t).run(t.Context(), "wait", func(c *Config) { c.Limits = []Limit{{"core", 0, 0}} })
	first := r.pid()
	if err := unix.Kill(first, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if r.pid() == first {
		t.Error("not restarted")
	}
	if e := r.ends()[0]; e.Kind != Crashed || e.Signal != unix.SIGKILL {
		t.Errorf("%+v", e)
	}
}

func TestLimitsFail(t *testing.T) {
	for _, tt := range []struct {
		limit Limit
		says  string
	}{
		{Limit{"files", 1, 1}, "unknown limit"},
		{Limit{"nofile", 2, 1}, "above hard"},
		{Limit{"nofile", 1, Unlimited - 1}, "limit nofile: operation not permitted"}, // above fs.nr_open
	} {
		r := newRig(t)
		s, err := New(Config{Command: []string{"true"}, Limits: []Limit{tt.limit}, Signals: r.signals}, r)
		if err == nil {
			err = s.Run(t.Context())
		}
		var start *StartError
		if !errors.As(err, &start) || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%v: %v", tt.limit, err)
		}
	}
}

func TestGroups(t *testing.T) {
	testenv.RequireRoot(t)
	for _, tt := range []struct {
		user   string
		groups []string
		want   string
	}{
		{"nobody", []string{"4711", "root"}, "65534 65534 [0 4711] nobody"},
		{"nobody", []string{}, "65534 65534 [] nobody"},
		{"4711:4712", []string{"4713"}, "4711 4712 [4713]"},
		{"", []string{"4713"}, "0 0 [4713]"},
	} {
		exe := publicDir(t) + "/child"
		copyFile(t, exe, os.Args[0])
		r := newRig(t).run(t.Context(), "", func(c *Config) {
			c.Command, c.User, c.Groups, c.Env = []string{exe}, tt.user, tt.groups, []string{roleEnv + "=whoami"}
		})
		if got := r.line(); got != tt.want {
			t.Errorf("%q with %v: got %q, want %q", tt.user, tt.groups, got, tt.want)
		}
	}
	if _, err := New(Config{Command: []string{"true"}, Groups: []string{"ftnet-nogroup"}}, nil); err == nil {
		t.Error("no error for an unknown group")
	}
}
