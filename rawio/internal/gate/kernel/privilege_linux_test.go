package kernel

import (
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// withoutAdmin runs f without CAP_SYS_ADMIN, in the server's namespace.
func (l *lab) withoutAdmin(t *testing.T, f func() error) error {
	t.Helper()
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends here
		result <- func() error {
			if err := unix.Setns(int(l.server), unix.CLONE_NEWNET); err != nil {
				return err
			}
			header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
			var data [2]unix.CapUserData
			if err := unix.Capget(&header, &data[0]); err != nil {
				return err
			}
			data[0].Effective &^= 1 << unix.CAP_SYS_ADMIN
			if err := unix.Capset(&header, &data[0]); err != nil {
				return err
			}
			return f()
		}()
	}()
	return <-result
}

// TestUnprivileged: a gate works without CAP_SYS_ADMIN and without pins, and leaves nothing
// behind but its filters, which anybody can remove who could attach them.
func TestUnprivileged(t *testing.T) {
	l := newLab(t)
	must(t, l.withoutAdmin(t, func() error {
		g, err := Load(Config{MaxConns: 4, ID: "00000001"})
		if err != nil {
			return err
		}
		defer g.die(t)
		if err := g.Attach(l.a); err != nil {
			return err
		}
		return g.WatchReleases()
	}))
	if n := watchers(t); n != 0 {
		t.Errorf("%d programs still watch", n)
	}
	must(t, l.withoutAdmin(t, func() error {
		_, err := cleanStale(func(string) bool { return false })
		return err
	}))
	wantInstalled(t, l.a)
}
