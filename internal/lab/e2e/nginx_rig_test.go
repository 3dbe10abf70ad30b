package e2e

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ftnet/ftnet/internal/lab/testenv"
	"github.com/ftnet/ftnet/internal/lab/workload"
	"github.com/ftnet/ftnet/internal/procfs"
	"github.com/ftnet/ftnet/internal/status"
)

const (
	nginxPort = 8080
	nginxLine = "a line of a page that never changes\n"
	nginxPage = 17 * len(nginxLine) // bytes of the front page
)

// nginx runs one that serves files, unmodified, and compares lengths: its
// replies have a Date.
func nginx(t testing.TB, flags ...string) (r *rig, files string) {
	t.Helper()
	testenv.RequireTool(t, "nginx")
	args, files, err := workload.Nginx(publicDir(t), nginxPort, strings.Repeat(nginxLine, nginxPage/len(nginxLine)))
	if err != nil {
		t.Fatal(err)
	}
	flags = append([]string{"--compare", "length"}, flags...)
	return start(t, unmodifiedOptions(nginxPort, flags...), program(t, "nginx"), args...), files
}

// worker waits for a process below the main one that is none of these, and
// returns it.
func (r *rig) worker(but ...int) (pid int) {
	r.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		d := r.waitStatus("the server runs", func(d *status.Document) bool {
			return d.Process.PID != 0 && d.Process.PID != r.last && d.Process.State == status.ProcessRunning
		})
		for _, child := range procfs.Children(d.Process.PID) {
			if !slices.Contains(but, child) {
				return child
			}
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("process %d has no child but %v", d.Process.PID, but)
		}
		<-time.After(r.poll)
	}
}
