package recovery

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/ftnet/ftnet/internal/runtimedir"
)

// TestFindLeftovers: of an engine that was killed the directory and the server processes that live
// are named, of one that lives nothing.
func TestFindLeftovers(t *testing.T) {
	base := t.TempDir()
	living, err := runtimedir.Create(base)
	if err != nil {
		t.Fatal(err)
	}
	defer living.Close()
	leaveProcess(t, living.Path, "own", "", os.Getpid())
	dead := filepath.Join(base, "0badcafe")
	if err := os.Mkdir(dead, 0o700); err != nil {
		t.Fatal(err)
	}
	leaveProcess(t, dead, "web", "", os.Getpid())
	// What cannot be looked for in the kernel, which takes privileges, is an error, and hides nothing.
	left, _ := FindLeftovers(base, t.TempDir())
	server := "server process " + strconv.Itoa(os.Getpid()) + " of service web of engine 0badcafe"
	if !slices.Equal(left.Servers, []string{server}) || !slices.Contains(left.Others, "the directory of engine 0badcafe") ||
		slices.Contains(left.Others, "the directory of engine "+living.ID) {
		t.Errorf("%+v", left)
	}
}
