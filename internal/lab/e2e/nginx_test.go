package e2e

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/ftnet/ftnet/internal/lab/testenv"
	"github.com/ftnet/ftnet/internal/lab/workload"
	"github.com/ftnet/ftnet/internal/status"
)

// nginxKills is how often the tests kill the master, and a worker.
const nginxKills = 10

// TestNginxUnderWrk: 200 keep-alive connections see no socket error while
// nginx's master and workers are killed in turn. The order is random.
func TestNginxUnderWrk(t *testing.T) {
	r, _ := nginx(t)
	w := r.wrk("-c200", "-t2", "--timeout", "60s")
	r.killInTurn(nginxKills, 100*time.Millisecond)
	w.done()
	r.check(func(s *status.Service) bool {
		// Each time that the master was killed all 200, or the few that were
		// about to close less.
		return s.Outages == nginxKills && s.Recovered > nginxKills*190 && s.Mismatches == 0
	})
}

// TestNginxClosesUnderWrk: likewise where each connection has one request and
// nginx closes it.
func TestNginxClosesUnderWrk(t *testing.T) {
	r, _ := nginx(t)
	w := r.wrk("-c50", "-t2", "--timeout", "60s", "-H", "Connection: close")
	r.killInTurn(5, 100*time.Millisecond)
	w.done()
	r.check(func(s *status.Service) bool { return s.Outages == 5 && s.Recovered > 20 && s.Mismatches == 0 })
}

// killInTurn kills the main process and a worker n times each, in random
// order, and waits after each kill until all connections are live again, and
// then for up to twice the given time.
func (r *rig) killInTurn(n int, wait time.Duration) {
	r.t.Helper()
	random := rand.New(rand.NewPCG(3, 4))
	var killed []int
	for main, worker := n, n; main+worker > 0; {
		pause(time.Duration(random.Int64N(int64(2 * wait))))
		if random.IntN(main+worker) < main {
			main--
			r.kill()
			r.recovered()
			continue
		}
		worker--
		pid := r.worker(killed...)
		killed = append(killed, pid)
		r.killWorker(pid)
	}
	r.recovered()
}

// wrkRun is a load generator at work in the client's namespace.
type wrkRun struct {
	r    *rig
	out  output
	done func()
}

// wrk starts one that goes on until done is called, which checks that it saw
// no error.
func (r *rig) wrk(args ...string) *wrkRun {
	t := r.t
	t.Helper()
	testenv.RequireTool(t, "wrk")
	w := &wrkRun{r: r}
	args = append([]string{"-d", "10m"}, append(args, "http://"+families[0].address(nginxPort)+"/")...)
	cmd := r.lab.Client.Command(program(t, "wrk"), args...)
	cmd.Stdout, cmd.Stderr = &w.out, &w.out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	w.done = func() {
		t.Helper()
		// It stops at an interrupt as at the end of its time.
		if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
			t.Error(err)
		}
		select {
		case err := <-ended:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(30 * time.Second):
			t.Error("wrk does not end")
		}
		out := w.out.String()
		if strings.Contains(out, "Socket errors") || strings.Contains(out, "Non-2xx") || !strings.Contains(out, "Requests/sec") {
			t.Errorf("wrk saw errors:\n%s", out)
		}
		t.Logf("\n%s", out)
	}
	return w
}

// TestNginxDownloadAcrossKills: 1 GiB has the right checksum although the master
// was killed three times and all workers twice while it was on its way.
func TestNginxDownloadAcrossKills(t *testing.T) {
	const downloadKills = 5
	r, files := nginx(t)
	want := streamFile(t, filepath.Join(files, "big"), gibibyte)
	var got progress
	done := make(chan error, 1)
	began := time.Now()
	go func() { done <- r.fetch("/big", &got) }()
	var killed []int
	for i := range downloadKills {
		got.wait(t, int64(i+1)*gibibyte/(downloadKills+2))
		if i%2 == 0 {
			r.kill()
			continue
		}
		for range 2 {
			pid := r.worker(killed...)
			killed = append(killed, pid)
			r.killWorker(pid)
		}
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if has := got.sum.String(); got.n.Load() != gibibyte || has != want {
		t.Errorf("%d bytes with checksum %s, want %d with %s", got.n.Load(), has, gibibyte, want)
	}
	t.Logf("1 GiB in %v", time.Since(began))
}

// streamFile makes a file of bytes of which each block differs from the others
// and returns their checksum.
func streamFile(t testing.TB, path string, n int64) string {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	sum := workload.NewChecksum()
	if _, err := io.CopyN(io.MultiWriter(f, sum), workload.NewStream(1), n); err != nil {
		t.Fatal(err)
	}
	return sum.String()
}

// progress counts what comes, and adds it up.
type progress struct {
	n   atomic.Int64
	sum *workload.Checksum // of the goroutine that writes
}

func (p *progress) Write(b []byte) (int, error) {
	if p.sum == nil {
		p.sum = workload.NewChecksum()
	}
	p.sum.Write(b)
	p.n.Add(int64(len(b)))
	return len(b), nil
}

// wait waits until n bytes have come.
func (p *progress) wait(t testing.TB, n int64) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); p.n.Load() < n; <-time.After(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("after %d of %d bytes nothing comes", p.n.Load(), n)
		}
	}
}

// fetch gets a file by HTTP.
func (r *rig) fetch(path string, to io.Writer) error {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+families[0].address(nginxPort)+path, nil)
	if err != nil {
		return err
	}
	transport := &http.Transport{DialContext: fromClient(r), DisableKeepAlives: true}
	reply, err := transport.RoundTrip(request)
	if err != nil {
		return err
	}
	defer reply.Body.Close()
	if reply.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", path, reply.Status)
	}
	_, err = io.Copy(to, reply.Body)
	return err
}
