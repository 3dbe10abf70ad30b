package e2e

import (
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/internal/lab/testenv"
	"github.com/ftnet/ftnet/internal/runtimedir"
)

// object is a BPF program or map as the kernel numbers them.
type object struct {
	command uintptr // that finds it
	id      uint32
}

// Of enum bpf_cmd.
const (
	progByID = 13
	mapByID  = 14
)

// fdinfo reads what the kernel tells of each descriptor of a process.
func fdinfo(t testing.TB, pid int) iter.Seq[string] {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/fdinfo/*", pid))
	if err != nil {
		t.Fatal(err)
	}
	return func(yield func(string) bool) {
		for _, name := range files {
			info, err := os.ReadFile(name)
			if err != nil {
				continue // closed meanwhile
			}
			if !yield(string(info)) {
				return
			}
		}
	}
}

// objects lists what BPF objects a process holds.
func objects(t testing.TB, pid int) (list []object) {
	t.Helper()
	for info := range fdinfo(t, pid) {
		for line := range strings.Lines(info) {
			var o object
			if n, _ := fmt.Sscanf(line, "prog_id:\t%d", &o.id); n == 1 {
				o.command = progByID
			} else if n, _ := fmt.Sscanf(line, "map_id:\t%d", &o.id); n == 1 {
				o.command = mapByID
			}
			if o.command != 0 {
				list = append(list, o)
			}
		}
	}
	return list
}

func (o object) exists() bool {
	attr := [3]uint32{o.id}
	fd, _, errno := unix.Syscall(unix.SYS_BPF, o.command, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr))
	if errno == 0 {
		unix.Close(int(fd))
	}
	return !errors.Is(errno, unix.ENOENT)
}

// gone waits until the kernel has freed all objects, which it does some time
// after the last use.
func gone(t testing.TB, list []object) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for _, o := range list {
		for o.exists() {
			if time.Now().After(deadline) {
				t.Errorf("left behind: BPF object %+v", o)
				break
			}
			<-time.After(5 * time.Millisecond)
		}
	}
}

// filters lists the filters of engines in the server's namespace.
func (r *rig) filters() (list []string) {
	r.t.Helper()
	for _, link := range []string{"lo", "s0"} {
		for _, side := range []string{"ingress", "egress"} {
			out, err := r.lab.Server.Command("tc", "filter", "show", "dev", link, side).CombinedOutput()
			if err != nil {
				r.t.Fatalf("tc: %v\n%s", err, out)
			}
			for word := range strings.FieldsSeq(string(out)) {
				if strings.HasPrefix(word, "ftnet:") {
					list = append(list, word)
				}
			}
		}
	}
	return list
}

// nothingLeft checks that no trace of an engine is in the server's namespace
// and the runtime directory.
func (r *rig) nothingLeft() {
	r.t.Helper()
	if list := r.filters(); len(list) > 0 {
		r.t.Errorf("left behind: filters %v", list)
	}
	out, err := r.lab.Server.Command("tc", "qdisc", "show").CombinedOutput()
	if err != nil || strings.Contains(string(out), "clsact") {
		r.t.Errorf("left behind: a qdisc: %v\n%s", err, out)
	}
	dirs, err := runtimedir.List(r.runtime)
	if err != nil || len(dirs) > 0 {
		r.t.Errorf("left behind: directories %v, %v", dirs, err)
	}
	testenv.NothingPinned(r.t, r.bpffs)
	if _, err := os.Lstat(runtimedir.BPFFS(r.runtime)); !errors.Is(err, fs.ErrNotExist) {
		r.t.Errorf("left behind: a BPF file system: %v", err)
	}
}

// end ends ftnet, if it has not ended yet, and checks that nothing of it is left.
func (r *rig) end() {
	r.t.Helper()
	list := objects(r.t, r.cmd.Process.Pid)
	r.stop()
	gone(r.t, list)
	r.nothingLeft()
	if strings.Contains(r.out.String(), "WARNING: DATA RACE") { // with GOFLAGS=-race
		r.t.Error("a data race was found")
	}
}
