package predecessor

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ftnet/ftnet/internal/procfs"
	"github.com/ftnet/ftnet/internal/supervisor"
)

// TestList: the processes that live are named, and nothing is done to them.
func TestList(t *testing.T) {
	base := t.TempDir()
	dir := filepath.Join(base, "0badcafe")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		t.Fatal(err)
	}
	space, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		t.Fatal(err)
	}
	self, err := procfs.ReadStat(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for service, pid := range map[string]int{"web": os.Getpid(), "gone": 1 << 30} {
		f := supervisor.StateFile{Path: StatePath(dir, service), Note: Note{Service: service}}
		if err := f.Record(supervisor.State{PID: pid, Start: self.Start, Boot: strings.TrimSpace(string(boot)), Space: space}); err != nil {
			t.Fatal(err)
		}
	}
	lines, err := List(base)
	want := fmt.Sprintf("server process %d of service web of engine 0badcafe", os.Getpid())
	if err != nil || len(lines) != 1 || lines[0] != want {
		t.Errorf("%q, %v; want %q", lines, err, want)
	}
}
