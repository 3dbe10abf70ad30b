package e2e

import (
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/ftnet/ftnet/internal/lab/netlab"
	"github.com/ftnet/ftnet/internal/lab/testenv"
)

// TestHTTPUnderWrk: a load generator with 64 keep-alive connections sees no
// socket error while the server is killed five times.
func TestHTTPUnderWrk(t *testing.T) {
	testenv.RequireRoot(t)
	testenv.RequireTool(t, "wrk")
	wrk, err := exec.LookPath("wrk")
	if err != nil {
		t.Fatal(err)
	}
	r := start(t, options{flags: []string{"--quota", "256MiB"}}, "http", "-listen", ":8080")
	cmd := r.lab.Client.Command(wrk, "-t2", "-c64", "-d10s", "--timeout", "10s", "http://"+netlab.Server4.String()+":8080/")
	type result struct {
		out []byte
		err error
	}
	done := make(chan result, 1)
	go func() {
		out, err := cmd.CombinedOutput()
		done <- result{out, err}
	}()
	for range 5 {
		pause(1500 * time.Millisecond)
		r.kill()
		r.recovered()
	}
	res := <-done
	if res.err != nil {
		t.Fatalf("wrk: %v\n%s", res.err, res.out)
	}
	for _, bad := range []string{"Socket errors", "Non-2xx"} {
		if strings.Contains(string(res.out), bad) {
			t.Errorf("wrk saw errors:\n%s", res.out)
		}
	}
	if !strings.Contains(string(res.out), "Requests/sec") {
		t.Errorf("wrk did not report:\n%s", res.out)
	}
	t.Logf("\n%s", res.out)
}
