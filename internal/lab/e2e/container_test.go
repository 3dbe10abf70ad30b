package e2e

import (
	"os"
	"os/exec"
	"testing"

	"github.com/ftnet/ftnet/internal/lab/testenv"
)

// inContainer says, in the environment, that the test runs in a PID namespace of its own.
const inContainer = "FTNET_E2E_CONTAINER"

// ownNames gives the container names of network namespaces of its own: to it the makers of
// all others are gone, and it would remove what they have left.
const ownNames = `mkdir -p /run/netns && mount -t tmpfs none /run/netns && exec "$0" "$@"`

// TestContainer: an engine whose processes have other IDs on the host than they have for
// itself, as in a container, names those that crash as it knows them.
func TestContainer(t *testing.T) {
	testenv.RequireRoot(t)
	if os.Getenv(inContainer) != "" {
		t.Run("worker", TestUnmodifiedWorkerCrash)
		return
	}
	t.Parallel()
	cmd := exec.Command(program(t, "unshare"), "--pid", "--fork", "--kill-child", "--mount-proc",
		"/bin/sh", "-c", ownNames, os.Args[0], "-test.run=^TestContainer$", "-test.v", "-test.timeout=2m")
	cmd.Env = append(os.Environ(), inContainer+"="+binaries.dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v:\n%s", err, tail(string(out), 20000))
	}
}
