package kernel

import (
	"errors"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/rawio/gate"
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

// TestUnprivileged: a gate works without CAP_SYS_ADMIN, but takes nothing over and
// leaves nothing behind that only those with it could remove.
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
		if err := g.WatchReleases(); err != nil {
			return err
		}
		if n := watchers(t); n != 0 {
			t.Errorf("%d programs found without the privilege", n)
		}
		return nil
	}))
	if n := watchers(t); n != 0 {
		t.Errorf("%d programs still watch", n)
	}
	err := l.withoutAdmin(t, func() error {
		_, err := Adopt(Config{ID: heirID}, "00000001")
		return err
	})
	if !errors.Is(err, gate.ErrNotSupported) || !strings.Contains(err.Error(), "CAP_SYS_ADMIN") {
		t.Errorf("adopting without the privilege: %v", err)
	}
	must(t, l.withoutAdmin(t, func() error {
		_, err := cleanStale(func(string) bool { return false })
		return err
	}))
	wantInstalled(t, l.a)
}
