package doctor

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/fstest"

	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/internal/lab/testenv"
	"github.com/ftnet/ftnet/internal/runtimedir"
	"github.com/ftnet/ftnet/rawio"
	"github.com/ftnet/ftnet/recovery"
)

func file(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text + "\n")} }

func TestChecks(t *testing.T) {
	const all = "000001ffffffffff"
	for _, tt := range []struct {
		name  string
		check check
		files fstest.MapFS
		want  Level // the worst
		says  string
	}{
		{"kernel", kernelVersion, fstest.MapFS{"proc/sys/kernel/osrelease": file("6.18.44-x")}, OK, "6.18.44"},
		{"kernel at the limit", kernelVersion, fstest.MapFS{"proc/sys/kernel/osrelease": file("5.12.0")}, OK, ""},
		{"kernel too old", kernelVersion, fstest.MapFS{"proc/sys/kernel/osrelease": file("5.4.0-150-generic")}, Fail, "5.12 or newer"},
		{"kernel unknown", kernelVersion, fstest.MapFS{"proc/sys/kernel/osrelease": file("next")}, Warn, ""},
		{"no proc", kernelVersion, nil, Fail, "/proc"},
		{"root", capabilities, fstest.MapFS{"proc/self/status": file("Name:\tx\nCapEff:\t" + all)}, OK, ""},
		{"nobody", capabilities, fstest.MapFS{"proc/self/status": file("CapEff:\t0000000000000000")}, Fail, "run as root"},
		{"no CAP_NET_RAW", capabilities, fstest.MapFS{"proc/self/status": file("CapEff:\t000001ffffffdfff")}, Fail, "inject"},
		{"CAP_SYS_ADMIN for CAP_BPF", capabilities, fstest.MapFS{"proc/self/status": file("CapEff:\t0000003fffffffff")}, OK, ""},
		{"no CAP_SETUID", capabilities, fstest.MapFS{"proc/self/status": file("CapEff:\t000001ffffffff7f")}, Warn, "--user"},
		{"no status", capabilities, fstest.MapFS{"proc/self/status": file("Name: x")}, Warn, "CapEff"},
		{"JIT", bpfJIT, fstest.MapFS{"proc/sys/net/core/bpf_jit_enable": file("1")}, OK, ""},
		{"JIT always on", bpfJIT, nil, OK, ""},
		{"no JIT", bpfJIT, fstest.MapFS{"proc/sys/net/core/bpf_jit_enable": file("0")}, Warn, "bpf_jit_enable=1"},
		{"timestamps", timestamps, fstest.MapFS{"proc/sys/net/ipv4/tcp_timestamps": file("1")}, OK, ""},
		{"no timestamps", timestamps, fstest.MapFS{"proc/sys/net/ipv4/tcp_timestamps": file("0")}, Warn, "PAWS"},
		{"Fast Open for clients", fastOpen, fstest.MapFS{"proc/sys/net/ipv4/tcp_fastopen": file("1")}, OK, ""},
		{"Fast Open for servers", fastOpen, fstest.MapFS{"proc/sys/net/ipv4/tcp_fastopen": file("3")}, Warn, "strips"},
		{"short queues", queues, fstest.MapFS{"proc/sys/net/core/somaxconn": file("128"), "proc/sys/net/ipv4/tcp_max_syn_backlog": file("4096")}, Warn, "somaxconn=4096"},
		{"queues", queues, fstest.MapFS{"proc/sys/net/core/somaxconn": file("4096"), "proc/sys/net/ipv4/tcp_max_syn_backlog": file("4096")}, OK, ""},
		{"reverse path", reversePath, fstest.MapFS{"proc/sys/net/ipv4/conf/all/rp_filter": file("1")}, OK, "strict"},
		{"no tracking", connectionTracking, nil, OK, ""},
		{"strict tracking", connectionTracking, fstest.MapFS{"proc/sys/net/netfilter/nf_conntrack_count": file("7"),
			"proc/sys/net/netfilter/nf_conntrack_tcp_be_liberal": file("0")}, Warn, "liberal=1"},
		{"liberal tracking", connectionTracking, fstest.MapFS{"proc/sys/net/netfilter/nf_conntrack_count": file("7"),
			"proc/sys/net/netfilter/nf_conntrack_tcp_be_liberal": file("1")}, OK, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			results := tt.check(Machine{Root: tt.files})
			worst, text := OK, ""
			for _, r := range results {
				if r.Level == Fail || r.Level == Warn && worst == OK {
					worst = r.Level
				}
				text += r.Detail + " " + r.Advice + "\n"
				if (r.Level == OK) != (r.Advice == "") {
					t.Errorf("%s is %s with advice %q", r.Name, r.Level, r.Advice)
				}
			}
			if worst != tt.want || !strings.Contains(text, tt.says) {
				t.Errorf("%s, want %s with %q:\n%s", worst, tt.want, tt.says, text)
			}
		})
	}
}

// TestTried: a missing feature is as bad as what needs it.
func TestTried(t *testing.T) {
	for level, advice := range map[Level]string{Warn: "mount -t cgroup2", Fail: "CONFIG_NET_CLS_ACT"} {
		unmodified := level == Warn
		results := tried([]rawio.Feature{
			{Name: "a", Unmodified: unmodified}, {Name: "b", Unmodified: unmodified, Err: fs.ErrNotExist},
			{Name: "c", Unmodified: unmodified, Err: &rawio.UnsupportedFeatureError{Name: "c", Remedy: "run as root", Err: fs.ErrPermission}},
			{Name: "d", Unmodified: unmodified, Untried: fs.ErrPermission},
		})
		if len(results) != 4 || results[0].Level != OK || results[0].Advice != "" ||
			results[1].Level != level || !strings.Contains(results[1].Advice, advice) ||
			results[2].Level != level || results[2].Advice != "run as root" || results[3].Level != OK {
			t.Errorf("%+v", results)
		}
	}
}

// TestHere: where the kernel tests run, nothing fails.
func TestHere(t *testing.T) {
	testenv.RequireRoot(t)
	results := Run(Local(t.TempDir(), testenv.BPFFS(t)))
	if len(results) < 20 {
		t.Errorf("only %d results", len(results))
	}
	for _, r := range results {
		if r.Level == Fail {
			t.Errorf("%s: %s (%s)", r.Name, r.Detail, r.Advice)
		}
	}
}

// TestPinning: where there is no BPF file system the doctor tries what an engine does, and
// leaves nothing of it.
func TestPinning(t *testing.T) {
	testenv.RequireRoot(t)
	base, host := t.TempDir(), testenv.BPFFS(t)
	own := filepath.Join(base, "bpf")
	for bpffs, says := range map[string]string{host: host + " takes pins", t.TempDir(): "engines mount one at " + own} {
		r := pinning(Machine{RuntimeDir: base, BPFFS: bpffs})[0]
		if r.Level != OK || !strings.Contains(r.Detail, says) {
			t.Errorf("%+v, want %q", r, says)
		}
		if _, err := os.Lstat(own); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is left: %v", own, err)
		}
	}
	testenv.NothingPinned(t, host)
}

// inNamespace runs f on a thread in a network namespace that ends with it.
func inNamespace(t *testing.T, f func()) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			f()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// TestLivingLeftovers: while servers wait for the next engine, it is not advised to clean.
func TestLivingLeftovers(t *testing.T) {
	r := left(recovery.Leftovers{Servers: []string{"server process 7 of service web"}, Others: []string{"pins"}}, fs.ErrPermission)[0]
	if r.Level != Warn || !strings.Contains(r.Detail, "process 7 of service web") || !strings.HasPrefix(r.Advice, "start ftnet again") {
		t.Errorf("%+v", r)
	}
}

// TestClean: the leftovers of a killed engine are found, then removed; those of
// a living one are not.
func TestClean(t *testing.T) {
	testenv.RequireRoot(t)
	testenv.RequireTool(t, "tc")
	base, bpffs := t.TempDir(), testenv.BPFFS(t)
	if err := os.MkdirAll(filepath.Join(base, "0badcafe"), 0o711); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(bpffs, "ftnet", "1-0badcafe"), 0o700); err != nil {
		t.Fatal(err)
	}
	inNamespace(t, func() {
		// Its directory is elsewhere: what tells that it lives is the namespace's.
		living, err := runtimedir.Create(t.TempDir())
		if err != nil {
			t.Error(err)
			return
		}
		defer living.Close()
		leaveFilters(t, "0badcafe")
		leaveFilters(t, living.ID)
		r := leftovers(Machine{RuntimeDir: base, BPFFS: bpffs})[0]
		if r.Level != Warn || !strings.Contains(r.Detail, "filters of engine 0badcafe") ||
			!strings.Contains(r.Detail, "directory of engine 0badcafe") ||
			!strings.Contains(r.Detail, "pins of engine 0badcafe") || strings.Contains(r.Detail, living.ID) {
			t.Errorf("%+v", r)
		}
		removed, err := recovery.RemoveLeftovers(base, bpffs)
		if err != nil || len(removed) != 3 {
			t.Errorf("removed %v, %v", removed, err)
		}
		if r := leftovers(Machine{RuntimeDir: base, BPFFS: bpffs})[0]; r.Level != OK {
			t.Errorf("after cleaning: %+v", r)
		}
		testenv.NothingPinned(t, bpffs)
		out, err := exec.Command("tc", "filter", "show", "dev", "lo", "egress").CombinedOutput()
		if err != nil || !strings.Contains(string(out), living.ID) || strings.Contains(string(out), "0badcafe") {
			t.Errorf("%v: %s", err, out)
		}
	})
}
