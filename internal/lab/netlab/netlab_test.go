package netlab_test

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/ftnet/ftnet/internal/lab/netlab"
	"github.com/ftnet/ftnet/internal/lab/netlab/netlabtest"
	"github.com/ftnet/ftnet/internal/lab/testenv"
	"github.com/vishvananda/netlink"
	"go.uber.org/goleak"
)

// lingerEnv makes the test binary open a lab, say its name and wait to be killed.
const lingerEnv = "FTNET_NETLAB_LINGER"

func TestMain(m *testing.M) {
	if os.Getenv(lingerEnv) != "" {
		lab, err := netlab.Open(nil)
		if err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		orphan := lab.Server.Command("sleep", "1000")
		orphan.SysProcAttr.Pdeathsig = 0
		if err := orphan.Start(); err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		fmt.Println(lab.Server.Name(), orphan.Process.Pid)
		select {}
	}
	goleak.VerifyTestMain(m)
}

func TestBothFamiliesAndMTU(t *testing.T) {
	for _, mtu := range []int{1500, 9000} {
		lab := netlabtest.New(t, &netlab.Config{MTU: mtu})
		for _, server := range []netip.Addr{netlab.Server4, netlab.Server6} {
			t.Run(fmt.Sprintf("mtu=%d/%s", mtu, server), func(t *testing.T) {
				transfer(t, lab, server, 1<<20)
			})
		}
		if err := lab.Client.Run(func() error {
			ifi, err := net.InterfaceByName(netlab.ClientLink)
			if err == nil && ifi.MTU != mtu {
				err = fmt.Errorf("MTU is %d", ifi.MTU)
			}
			return err
		}); err != nil {
			t.Error(err)
		}
	}
}

func TestCommandRunsInside(t *testing.T) {
	lab := netlabtest.New(t, nil)
	out, err := lab.Client.Command("ip", "-o", "link", "show", netlab.ClientLink).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	out, err = lab.Server.Command("ip", "-o", "link", "show", netlab.ClientLink).CombinedOutput()
	if err == nil {
		t.Fatalf("the server's namespace sees the client's interface: %s", out)
	}
}

func TestCloseEndsProcesses(t *testing.T) {
	testenv.RequireRoot(t)
	lab, err := netlab.Open(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer lab.Close()
	cmd := lab.Server.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := lab.Close(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("the process ended by itself")
	}
	if _, err := os.Stat(filepath.Join("/run/netns", lab.Server.Name())); err == nil {
		t.Error("the namespace is still there")
	}
}

func TestLeftoversOfKilledOwnerAreRemoved(t *testing.T) {
	testenv.RequireRoot(t)
	owner := exec.Command(os.Args[0])
	owner.Env = append(os.Environ(), lingerEnv+"=1")
	out, err := owner.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := owner.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	name, pid, _ := strings.Cut(strings.TrimSpace(line), " ")
	if err != nil || name == "error" {
		t.Fatal(line, err)
	}
	if removed, err := netlab.RemoveLeftovers(); err != nil || slices.Contains(removed, name) {
		t.Errorf("removed a living owner's lab: %v %v", removed, err)
	}
	owner.Process.Kill()
	owner.Wait()
	removed, err := netlab.RemoveLeftovers()
	if err != nil {
		t.Fatal(err)
	}
	// Another test binary may have been faster to remove it: only the result counts.
	if _, err := os.Stat(filepath.Join("/run/netns", name)); err == nil {
		t.Errorf("%s is still there (removed: %v)", name, removed)
	}
	if state, err := os.ReadFile("/proc/" + pid + "/stat"); err == nil && !strings.Contains(string(state), ") Z ") {
		t.Errorf("process %s still runs: %s", pid, state)
	}
}

func TestImpairedLink(t *testing.T) {
	lab := netlabtest.New(t, &netlab.Config{Impair: &netlab.Impair{Seed: 1, Loss: 0.01, Duplicate: 0.01, Reorder: 0.02}})
	const size = 4 << 20
	transfer(t, lab, netlab.Server4, size)
	transfer(t, lab, netlab.Server6, size)
	s := lab.Relay.Stats()
	t.Logf("%+v", s)
	if s.Seen < 2*size/1460 {
		t.Errorf("%d frames for %d bytes: super-packets crossed the relay", s.Seen, 2*size)
	}
	if s.Lost == 0 || s.Duplicated == 0 || s.Reordered == 0 {
		t.Error("nothing was impaired")
	}
	if s.Overrun != 0 {
		t.Error("the relay lost frames of its own")
	}
}

// TestRewrittenPackets: the kernel takes a client's fragments, and extension headers
// before data.
func TestRewrittenPackets(t *testing.T) {
	lab := netlabtest.New(t, &netlab.Config{Impair: &netlab.Impair{Seed: 1, Loss: 0.01, Reorder: 0.02, Fragment: 600}})
	const size = 1 << 20
	transfer(t, lab, netlab.Server4, size)
	transfer(t, lab, netlab.Server6, size)
	if s := lab.Relay.Stats(); s.Seen < 2*size/600 {
		t.Errorf("%d frames for %d bytes in fragments of 600", s.Seen, 2*size)
	}
	if err := lab.Relay.Set(netlab.Impair{Extensions: 9}); err != nil {
		t.Fatal(err)
	}
	if err := lab.Client.Run(func() error {
		link, err := netlink.LinkByName(netlab.ClientLink)
		if err != nil {
			return err
		}
		return netlink.LinkSetMTU(link, 1400)
	}); err != nil {
		t.Fatal(err)
	}
	transfer(t, lab, netlab.Server6, size)
}

func TestImpairRefusesNonsense(t *testing.T) {
	if _, err := netlab.Open(&netlab.Config{Impair: &netlab.Impair{Loss: 1.5}}); err == nil {
		t.Error("loss of 150 % accepted")
	}
	if _, err := netlab.Open(&netlab.Config{Impair: &netlab.Impair{Fragment: 100}}); err == nil {
		t.Error("fragments of 100 bytes accepted")
	}
	if _, err := netlab.Open(&netlab.Config{MTU: 100}); err == nil {
		t.Error("MTU 100 accepted")
	}
}

func BenchmarkRelay(b *testing.B) {
	lab := netlabtest.New(b, &netlab.Config{Impair: &netlab.Impair{}})
	b.SetBytes(64 << 20)
	for b.Loop() {
		transfer(b, lab, netlab.Server4, 64<<20)
	}
	b.Logf("%+v", lab.Relay.Stats())
}

// transfer sends n random bytes to the server and compares what arrives.
func transfer(t testing.TB, lab *netlab.Lab, server netip.Addr, n int64) {
	t.Helper()
	ln, err := lab.Server.Listen("tcp", net.JoinHostPort(server.String(), "0"))
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	received := make(chan string, 1)
	go func() {
		c, err := ln.Accept()
		if err != nil {
			received <- err.Error()
			return
		}
		defer c.Close()
		h := sha256.New()
		if _, err := io.Copy(h, c); err != nil {
			received <- err.Error()
			return
		}
		received <- fmt.Sprintf("%x", h.Sum(nil))
	}()
	port := ln.Addr().(*net.TCPAddr).Port
	c, err := lab.Client.Dial("tcp", net.JoinHostPort(server.String(), strconv.Itoa(port)))
	if err != nil {
		t.Fatal(err)
	}
	h := sha256.New()
	source := io.LimitReader(rand.NewChaCha8([32]byte{1}), n)
	if _, err := io.Copy(io.MultiWriter(c, h), source); err != nil {
		t.Fatal(err)
	}
	c.Close()
	if got, want := <-received, fmt.Sprintf("%x", h.Sum(nil)); got != want {
		t.Errorf("received %s, want %s", got, want)
	}
}
