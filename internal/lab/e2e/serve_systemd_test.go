package e2e

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ftnet/ftnet/internal/lab/testenv"
)

// capabilities is the bounding set of the systemd unit, by the names of
// setpriv(1).
func capabilities(t *testing.T) (names []string) {
	t.Helper()
	unit, err := os.ReadFile("../../../packaging/ftnet.service")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(unit)) {
		if list, ok := strings.CutPrefix(line, "CapabilityBoundingSet="); ok {
			for name := range strings.FieldsSeq(list) {
				names = append(names, strings.ToLower(strings.TrimPrefix(name, "CAP_")))
			}
		}
	}
	if len(names) == 0 {
		t.Fatal("the unit has no capabilities")
	}
	return names
}

// with runs the daemon with those capabilities and no others.
func with(names []string) func(*served) {
	return func(s *served) {
		s.args = []string{"setpriv", "--bounding-set", "-all,+" + strings.Join(names, ",+"), "--inh-caps", "-all", "--no-new-privs"}
	}
}

// stray is the entry of a server of another user whose main process does not
// serve itself: what does has left its process group and knows nothing of where
// it came from. It must end with the main process.
func stray(t testing.TB, name string, port int) string {
	return serviceEntry(name, "unmodified", port, []string{"/bin/sh", "-c",
		fmt.Sprintf("env -i setsid %s -mode plain -listen :%d & wait", binary(t, "probe"), port)},
		[]string{`user = "nobody"`, `drain = "500ms"`})
}

// TestServeCapabilities: those of the systemd unit suffice for all that the
// daemon does, for services of its own user and of another.
func TestServeCapabilities(t *testing.T) {
	t.Parallel()
	testenv.RequireTool(t, "setpriv")
	const nobody = "user = \"nobody\"\ndrain = \"500ms\""
	entries := []string{
		listening(t, "own", 7002), listening(t, "own-nobody", 7003, nobody, "limits = { nofile = 1000 }"),
		unmodified(t, "plain", 7004), unmodified(t, "plain-nobody", 7005, nobody), stray(t, "stray", 7006),
	}
	s := serve(t, with(capabilities(t)), entries...)
	var clients []*client
	for port := 7002; port <= 7006; port++ {
		clients = append(clients, s.dialPort(port))
	}
	s.chat(clients, func() {
		for _, name := range []string{"own", "own-nobody", "plain", "plain-nobody", "stray"} {
			s.says(name+": restarted through recovery, 1 connection", "restart", name)
		}
		s.crash("stray")
		s.write(append(entries, unmodified(t, "new", 7007, nobody))...)
		s.says("new: started", "reload")
	})
	clients[1].send("whoami")
	clients[1].expect("65534")
	s.says("plain-nobody: stopped", "stop", "plain-nobody")
	clients[3].expectEOF()
	for _, c := range clients {
		c.Close()
	}
	if err := s.stop(); err != nil {
		t.Error(err)
	}
	for line := range strings.Lines(s.out.String()) {
		refused := strings.Contains(line, "permitted") || strings.Contains(line, "denied")
		if refused && !strings.Contains(line, "engine priority not raised") { // LimitNICE= sees to it
			t.Errorf("refused: %s", line)
		}
	}
}

// TestServeCapabilitiesNeeded: without any one of them something does not work.
func TestServeCapabilitiesNeeded(t *testing.T) {
	t.Parallel()
	testenv.RequireTool(t, "setpriv")
	all := capabilities(t)
	for i, name := range all {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServed(t, with(slices.Delete(slices.Clone(all), i, i+1)), stray(t, "stray", 7006))
			s.begin()
			const up = "ready: status=\"1 service up"
			if s.waitAny(up, "open the engine", "service has ended") != 0 {
				return // it did not come to be ready
			}
			if err := syscall.Kill(s.pid("stray"), syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			if s.waitAny("is taken: ", "recovered: port=7006") != 0 { // else the stray was not found, or not killed
				t.Error("nothing is missing")
			}
		})
	}
}

// serviceManager is systemd's end of sd_notify(3).
type serviceManager struct {
	t    *testing.T
	conn *net.UnixConn
}

func newServiceManager(t *testing.T, path string) *serviceManager {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &serviceManager{t, conn}
}

// expect waits for a message that begins like this.
func (m *serviceManager) expect(want string) {
	m.t.Helper()
	m.conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	var got []string
	for buf := make([]byte, 4096); ; {
		n, err := m.conn.Read(buf)
		if err != nil {
			m.t.Fatalf("%v; wanted %q, got %q", err, want, got)
		}
		if got = append(got, string(buf[:n])); strings.HasPrefix(got[len(got)-1], want) {
			return
		}
	}
}

// TestServeNotifies: the service manager hears when all serve, of reloads and of
// the end, and again and again that the engine works.
func TestServeNotifies(t *testing.T) {
	path := filepath.Join(publicDir(t), "notify")
	m := newServiceManager(t, path)
	s := serve(t, func(s *served) { s.env = []string{"NOTIFY_SOCKET=" + path, "WATCHDOG_USEC=200000"} },
		listening(t, "own", 7002), unmodified(t, "plain", 7003))
	m.expect("READY=1\nSTATUS=2 services up")
	for range 3 {
		m.expect("WATCHDOG=1")
	}
	s.write(listening(t, "own", 7002))
	if err := s.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	m.expect("RELOADING=1\nMONOTONIC_USEC=")
	m.expect("READY=1\nSTATUS=1 service up")
	// The sockets are the daemon's: a service must not speak for it.
	own, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", s.pid("own")))
	if err != nil || strings.Contains(string(own), "NOTIFY_SOCKET") || strings.Contains(string(own), "WATCHDOG") {
		t.Errorf("%v %q", err, own)
	}
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	m.expect("STOPPING=1")
	if err := s.wait(); err != nil {
		t.Error(err)
	}
}
