package remote_test

import (
	"errors"
	"testing"

	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/logtest"
)

// TestFencing: a younger log takes over a service, and the older one learns it,
// whatever it tries.
func TestFencing(t *testing.T) {
	b := newLab(t, logtest.Limits{})
	network := &breakable{dial: b.dial}
	cfg := b.client
	cfg.Dial = network.connect
	old := b.openWith(cfg)
	defer old.Close()
	var told statuses
	old.SetStatusUpcall(told.add)
	id := begin(t, old, 1, 1000)

	cfg = b.client
	cfg.Services = []string{logtest.Example(1).Service}
	young := b.openWith(cfg)
	defer young.Close()
	soon(t, "the older one is told", func() bool { return told.last()&logserver.Failed != 0 })
	fenced := func() {
		t.Helper()
		if room, err := old.Room(id); room != 0 || !errors.Is(err, logserver.ErrFenced) {
			t.Errorf("it has room for %d bytes, %v", room, err)
		}
		if _, err := old.Write(id, 1000, []byte("x")); !errors.Is(err, logserver.ErrFenced) {
			t.Errorf("Write: %v", err)
		}
		if _, err := old.Open(logtest.Example(2)); !errors.Is(err, logserver.ErrFenced) {
			t.Errorf("Open: %v", err)
		}
		if old.Status()&logserver.Failed == 0 {
			t.Errorf("status is %v", old.Status())
		}
	}
	fenced()
	list, err := young.Active(0, 10)
	must(t, err)
	if len(list) != 1 || list[0].ID != id {
		t.Fatalf("Active tells %v", list)
	}
	write(t, young, id, 1000, 500)
	p := make([]byte, 2000)
	if n, err := old.Read(id, p, 0); err != nil || n != 1000 {
		t.Errorf("the older one reads %d bytes, %v", n, err) // what it knew to be stable
	}

	// Nor is it better off after a reconnect, or when the server has restarted
	// and met it first.
	network.cut()
	soon(t, "reconnect", func() bool { return told.has(logserver.Unreachable) && old.Status()&logserver.Unreachable == 0 })
	fenced()
	b.stop()
	b.start()
	soon(t, "both are back", func() bool {
		return (old.Status()|young.Status())&logserver.Unreachable == 0
	})
	fenced()
	write(t, young, id, 1500, 500)
	must(t, old.Delete(id)) // forgets it only here
	if n := young.NumActive(); n != 1 {
		t.Errorf("%d connections", n)
	}
	must(t, young.Delete(id))
}

// TestFencedAlone: the loss of one service is told of that one, and leaves the others, and the log's
// status, as they are. When none is left the log has failed.
func TestFencedAlone(t *testing.T) {
	b := newLab(t, logtest.Limits{})
	first, second := logtest.Example(1), logtest.Example(2)
	second.Service = first.Service + "-2"
	cfg := b.client
	cfg.Services = []string{first.Service, second.Service}
	old := b.openWith(cfg)
	defer old.Close()
	must(t, old.RegisterService(0))
	_, err := old.Open(first)
	must(t, err)
	kept, err := old.Open(second)
	must(t, err)
	lost := old.Fenced(first.Service)
	cfg.Services = []string{first.Service}
	young := b.openWith(cfg)
	defer young.Close()
	<-lost
	if lost != old.Fenced(first.Service) {
		t.Error("it is another channel")
	}
	if _, err := old.Open(logtest.Example(3)); !errors.Is(err, logserver.ErrFenced) {
		t.Errorf("Open: %v", err)
	}
	if s := old.Status(); s != logserver.OK {
		t.Errorf("status is %v", s)
	}
	write(t, old, kept, 0, 500)
	select {
	case <-old.Fenced(second.Service):
		t.Error("both are lost")
	default:
	}
	cfg.Services = []string{second.Service}
	youngest := b.openWith(cfg)
	defer youngest.Close()
	<-old.Fenced(second.Service)
	if s := old.Status(); s&logserver.Failed == 0 {
		t.Errorf("status is %v", s)
	}
}

// TestBounded: what waits for the server is bounded.
func TestBounded(t *testing.T) {
	b := newLab(t, logtest.Limits{})
	cfg := b.client
	cfg.Buffer = 100_000
	l := b.openWith(cfg)
	defer l.Close()
	id := begin(t, l, 1, 1000)
	b.stop()
	soon(t, "it is noticed", func() bool { return l.Status()&logserver.Unreachable != 0 })
	n, err := l.Write(id, 1000, logtest.Pattern(make([]byte, 200_000), 1, 1000))
	q, ok := errors.AsType[*logserver.QuotaError](err)
	if n != 100_000 || !ok || q.Scope != logserver.ScopeBuffer {
		t.Errorf("Write took %d, %v", n, err)
	}
	if room, err := l.Room(id); room != 0 || err != nil {
		t.Errorf("Room is %d, %v", room, err)
	}
	b.start()
	stable(t, l, id, 101_000)
	if room, err := l.Room(id); room != 100_000 || err != nil {
		t.Errorf("Room is %d, %v", room, err)
	}
}

// TestRestartTLS: a session outlives the server's process: its numbers go on.
func TestRestartTLS(t *testing.T) {
	b := newSecureLab(t, logtest.Limits{})
	l := b.open()
	defer l.Close()
	first := begin(t, l, 1, 1000)
	b.stop()
	soon(t, "it is noticed", func() bool { return l.Status()&logserver.Unreachable != 0 })
	second, err := l.Open(logtest.Example(2))
	must(t, err)
	b.start()
	write(t, l, second, 0, 1000)
	write(t, l, first, 1000, 1000)
	third := begin(t, l, 3, 10)
	if second != first+1 || third != second+1 {
		t.Errorf("numbers %x, %x, %x", first, second, third)
	}
}
