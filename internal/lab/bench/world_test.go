package bench

import (
	"errors"
	"io"
	"net"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/internal/lab/netlab"
	"github.com/ftnet/ftnet/internal/lab/testenv"
)

// TestLogPortIsFree: no client takes the port on which a log server, or what measures TLS
// alone, is to listen: it would keep it for a minute after its end.
func TestLogPortIsFree(t *testing.T) {
	testenv.RequireRoot(t)
	w, err := openWorld(Config{Progress: io.Discard}, plainTCP, Programs{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := w.close(); err != nil {
			t.Error(err)
		}
	}()
	ln, err := w.lab.Server.Listen("tcp", w.address())
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	first, err := strconv.Atoi(logPort)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.lab.Client.Sysctl("ipv4/ip_local_port_range", logPort+" "+strconv.Itoa(first+1)); err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		c, err := w.lab.Client.Dial("tcp", w.address())
		if i == 1 {
			if !errors.Is(err, unix.EADDRNOTAVAIL) {
				t.Errorf("a second port: %v", err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if port := c.LocalAddr().(*net.TCPAddr).Port; port != first+1 {
			t.Errorf("a client has port %d", port)
		}
	}
	log, err := w.lab.Client.Listen("tcp", net.JoinHostPort(netlab.Client4.String(), logPort))
	if err != nil {
		t.Fatal(err)
	}
	log.Close()
}
