package recovery

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/ftnet/ftnet/internal/control"
	"github.com/ftnet/ftnet/internal/supervisor"
)

// asServer connects to a service's socket as one of its processes.
func asServer(t *testing.T, s *Service) (c *control.Client, journal uint64) {
	t.Helper()
	c, w, err := control.Dial(t.Context(), s.socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	defer control.CloseFD(w.FD)
	var st syscall.Stat_t
	if err := syscall.Fstat(w.FD, &st); err != nil {
		t.Fatal(err)
	}
	return c, st.Ino
}

// readable counts the connections whose log a server process can read, whatever
// slot and generation it asks for.
func readable(t *testing.T, c *control.Client) (n int) {
	t.Helper()
	var buf [64]byte
	for slot := range uint32(16) {
		for gen := range uint32(16) {
			got, err := c.ReadLog(t.Context(), slot, gen, 0, buf[:])
			var refused *control.Error
			switch {
			case err == nil:
				if !strings.HasPrefix(string(buf[:got]), "add ") {
					t.Errorf("slot %d, generation %d: %q", slot, gen, buf[:got])
				}
				n++
			case !errors.As(err, &refused) || refused.Code != control.CodeStale:
				t.Fatal(err)
			}
		}
	}
	return n
}

// TestPrivacy: a server process sees its own service's journal and log only.
func TestPrivacy(t *testing.T) {
	l := newLab(t, nil)
	one, two := l.run(server("one", "listen :7001")), l.run(server("two", "listen :7002"))
	other := l.run(server("three", "plain :7003", ":7003"))
	for _, s := range []*running{one, two, other} {
		s.serves()
	}
	for _, address := range []string{"127.0.0.1:7001", "127.0.0.1:7001", "127.0.0.1:7002", "127.0.0.1:7003"} {
		l.dial(address).expect("1", "add 1")
	}
	a, journalA := asServer(t, one.Service)
	b, journalB := asServer(t, two.Service)
	if journalA == journalB {
		t.Error("two services have the same journal")
	}
	if got := readable(t, a); got != 2 {
		t.Errorf("the first service reads %d connections", got)
	}
	if got := readable(t, b); got != 1 {
		t.Errorf("the second service reads %d connections", got)
	}
	// Nor does it speak for another's connections.
	for slot := range uint32(16) {
		for gen := range uint32(16) {
			_ = b.Mismatch(t.Context(), control.Mismatch{Slot: slot, Gen: gen}) // refused but for its own
		}
	}
	if _, ports := l.program("one"); ports[0].Mismatches != 0 {
		t.Errorf("%+v", ports)
	}
	if other.socket != "" {
		t.Error("an unmodified server has a socket")
	}
}

// TestPrivacyOfUsers: another user's processes are not even heard.
func TestPrivacyOfUsers(t *testing.T) {
	l := newLab(t, nil)
	exe := filepath.Join(publicDir(t), "server")
	program, err := os.ReadFile(os.Args[0])
	if err == nil {
		err = os.WriteFile(exe, program, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	cfg := server("one", "listen :7001")
	cfg.Command, cfg.User = []string{exe}, "4711:4711"
	s := l.run(cfg)
	s.serves()
	dial := func(uid uint32) (ok bool, says string) {
		out, err := os.CreateTemp(t.TempDir(), "")
		if err != nil {
			t.Fatal(err)
		}
		defer out.Close()
		cmd := exec.Command(exe)
		cmd.Env = append(os.Environ(), roleEnv+"=dial "+s.socket)
		cmd.Stdout, cmd.Stderr = out, out
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
		err = supervisor.Exec(cmd)
		if _, serr := out.Seek(0, io.SeekStart); serr != nil {
			t.Fatal(serr)
		}
		b, rerr := io.ReadAll(out)
		if rerr != nil {
			t.Fatal(rerr)
		}
		return err == nil, string(b)
	}
	for uid, want := range map[uint32]bool{4711: true, 0: true, 4712: false} {
		if ok, says := dial(uid); ok != want {
			t.Errorf("user %d: %v %q", uid, ok, says)
		}
	}
	// After a restart as another user it is the other way round.
	cfg.User = "4712:4712"
	if err := s.Restart(&cfg); err != nil {
		t.Fatal(err)
	}
	s.serves()
	for uid, want := range map[uint32]bool{4711: false, 4712: true} {
		if ok, says := dial(uid); ok != want {
			t.Errorf("after the restart, user %d: %v %q", uid, ok, says)
		}
	}
}
