package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/internal/lab/testenv"
)

// smallDisk is a file system of its own, most of which a file takes that is no
// log's.
type smallDisk struct{ dir, ballast string }

const (
	diskSize = 64 << 20
	diskFree = 16 << 20
	logSize  = 48 << 20 // there would be room for it without the ballast
)

func newSmallDisk(t testing.TB) *smallDisk {
	t.Helper()
	testenv.RequireRoot(t)
	mount := t.TempDir()
	if err := unix.Mount("ftnet-e2e", mount, "tmpfs", 0, fmt.Sprintf("size=%d", diskSize)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(mount, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	d := &smallDisk{dir: filepath.Join(mount, "log"), ballast: filepath.Join(mount, "ballast")}
	f, err := os.Create(d.ballast)
	if err == nil {
		err = syscall.Fallocate(int(f.Fd()), 0, 0, diskSize-diskFree)
		f.Close()
	}
	if err == nil {
		err = os.Mkdir(d.dir, 0o700)
	}
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// clear makes room.
func (d *smallDisk) clear(t testing.TB) {
	t.Helper()
	if err := os.Remove(d.ballast); err != nil {
		t.Fatal(err)
	}
}

// TestLogFull: a disk that fills up slows clients down to nothing, that of this
// host or that of the log server. They see no error, crashes do not matter, and
// all goes on when there is room again.
func TestLogFull(t *testing.T) {
	t.Parallel()
	for _, where := range []string{"disk", "remote"} {
		t.Run(where, func(t *testing.T) {
			t.Parallel() // they wait most of the time
			disk := newSmallDisk(t)
			r := prepare(t, options{})
			flags := []string{"--quota", fmt.Sprint(logSize)}
			if where == "remote" {
				flags = append(flags, logServerIn(r, disk.dir, fmt.Sprint(logSize), "probe").flags()...)
			} else {
				flags = append(flags, "--log", "file://"+disk.dir, "--quota-total", fmt.Sprint(logSize))
			}
			r.spawn(options{flags: flags}, "probe", "-listen", ":7002")
			c, idle := r.dial(), r.dial()
			idle.echo("hello")
			said, n, err := c.fillBy(logSize/lineSize, 64)
			if !errors.Is(err, os.ErrDeadlineExceeded) || n < diskFree/4/lineSize {
				t.Fatalf("%d lines, %v; want a time-out", n, err)
			}
			r.logStatus("low-space")
			r.kill() // what is not stable cannot be recovered yet
			disk.clear(t)
			idle.echo("lives on")
			for i := n; i < said; i++ {
				c.expect(filler(i))
			}
			r.logStatus("ok")
			c.echo("goes on")
			r.crash()
			c.echo("everything was kept")
			idle.echo("everything was kept")
		})
	}
}
