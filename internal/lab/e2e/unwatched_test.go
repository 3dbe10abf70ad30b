package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	ebpflink "github.com/cilium/ebpf/link"

	"github.com/ftnet/ftnet/internal/reason"
	"github.com/ftnet/ftnet/internal/status"
)

// unwatch detaches the program that notes releases of sockets, whose link the engine
// holds. Others may be of other engines.
func (r *rig) unwatch() {
	r.t.Helper()
	n := 0
	for _, id := range releaseLinks(r.t, r.cmd.Process.Pid) {
		l, err := ebpflink.NewFromID(id)
		if err != nil {
			r.t.Fatal(err)
		}
		if err := l.Detach(); err != nil {
			r.t.Fatal(err)
		}
		l.Close()
		n++
	}
	if n != 1 {
		r.t.Fatalf("%d links of programs at the cgroup", n)
	}
}

// releaseLinks are the links to cgroups that a process holds and that are attached.
func releaseLinks(t testing.TB, pid int) (ids []ebpflink.ID) {
	t.Helper()
	for info := range fdinfo(t, pid) {
		var id, cgroup uint64
		kind := ""
		for line := range strings.Lines(info) {
			fmt.Sscanf(line, "link_type:\t%s", &kind)
			fmt.Sscanf(line, "link_id:\t%d", &id)
			fmt.Sscanf(line, "cgroup_id:\t%d", &cgroup)
		}
		if kind == "cgroup" && cgroup != 0 {
			ids = append(ids, ebpflink.ID(id))
		}
	}
	return ids
}

// TestUnwatched: a program that notes releases and that somebody takes away is put back,
// which is said, and so are pins; a server's crashes are told from closes as ever.
func TestUnwatched(t *testing.T) {
	t.Parallel()
	r := modeProbe(t, "plain", nil)
	c := r.dial()
	c.echo("hello")
	mended := func(what string, n uint64) {
		t.Helper()
		r.waitStatus(fmt.Sprint(what, " put back"), func(d *status.Document) bool {
			return d.Gate.Mended[what] == n && len(d.Gate.Missing) == 0
		})
	}
	for i := range uint64(2) {
		r.unwatch()
		mended("releases", i+1)
		r.protects(1)
		r.crash()
		c.echo("recovered")
	}
	r.waitOutput("gate parts were missing and have been restored: missing=releases")
	r.signal(syscall.SIGSTOP) // else it may put pins back into a directory that is being removed
	if err := os.RemoveAll(filepath.Join(r.bpffs, "ftnet")); err != nil {
		t.Fatal(err)
	}
	r.signal(syscall.SIGCONT)
	mended("pins", 1)
	r.waitOutput("missing=pins")
}

// TestUnwatchedSaid: what cannot be put back is said, of the engine and of the connections
// that depend on it, and when it can be it is.
func TestUnwatchedSaid(t *testing.T) {
	t.Parallel()
	r := modeProbe(t, "plain", nil)
	c := r.dial()
	c.echo("hello")
	root := filepath.Join(r.bpffs, "ftnet")
	dir, err := filepath.Glob(filepath.Join(root, "*-*"))
	if err != nil || len(dir) != 1 {
		t.Fatal(dir, err)
	}
	// Nobody can make pins here, nor the link that is to be pinned.
	r.signal(syscall.SIGSTOP)
	if err := os.RemoveAll(root); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(root, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(root, 0o777); err != nil { // open to other users: not trusted
		t.Fatal(err)
	}
	r.unwatch()
	r.signal(syscall.SIGCONT)
	r.waitStatus("what is missing is said", func(d *status.Document) bool {
		return d.Gate.Missing["pins"] != "" && d.Gate.Missing["releases"] != "" && len(d.Connections) == 1 &&
			d.Connections[0].Protection == status.Unprotected && d.Connections[0].Reason == string(reason.Unwatched) &&
			d.Services[0].Unprotected[string(reason.Unwatched)] == 1
	})
	r.waitOutput("connection is not protected: connection=")
	if err := os.Remove(root); err != nil {
		t.Fatal(err)
	}
	r.waitStatus("nothing is missing", func(d *status.Document) bool { return len(d.Gate.Missing) == 0 })
	r.waitOutput("gate parts restored: was missing=releases")
	r.protects(1)
	r.crash()
	c.echo("recovered")
}

// TestEngineKilledUnwatched: without pins the program that notes
// releases of sockets ends with the engine, and a busy machine may need a while until the
// server ends too. Its clients do not hear of that.
func TestEngineKilledUnwatched(t *testing.T) {
	change := func(s *served) {
		with(capabilities(t))(s)
		s.bpffs = t.TempDir()
	}
	s := serve(t, change, onDeviceTOML(t), listening(t, "own", 7002), unmodified(t, "plain", 7003))
	var clients []*client
	for _, f := range families {
		for _, port := range []int{7002, 7003} {
			c := s.dialTo(f.dial(s.rig), f.address(port))
			c.echo(strings.Join([]string{"hello", f.name}, " "))
			clients = append(clients, c)
		}
	}
	s.signal(syscall.SIGSTOP) // it is not to put the program back
	s.unwatch()
	s.killFtnet()
	s.begin()
	for _, c := range clients {
		c.echo("again")
	}
}
