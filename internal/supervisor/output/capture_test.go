package output

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/internal/lab/testenv"
)

// The test binary is also the process whose output is captured.
const roleEnv = "OUTPUT_TEST_ROLE"

func child() int {
	switch os.Getenv(roleEnv) {
	case "both":
		fmt.Println("to stdout")
		fmt.Fprintln(os.Stderr, "to stderr")
	case "flags": // of the descriptor that it was given
		flags, err := unix.FcntlInt(1, unix.F_GETFL, 0)
		fmt.Println(flags&unix.O_NONBLOCK != 0, err)
	case "reopen": // as many servers do with their log
		f, err := os.OpenFile("/dev/stderr", os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			fmt.Println(err)
			return 1
		}
		fmt.Fprintln(f, "reopened")
	case "chatter":
		return chatter()
	case "stay": // until standard input ends, then write
		fmt.Println("here")
		io.Copy(io.Discard, os.Stdin)
	}
	return 0
}

func command(c *Capture, role string) *exec.Cmd {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), roleEnv+"="+role)
	cmd.Stdout, cmd.Stderr = c.Stdout, c.Stderr
	return cmd
}

func newCapture(t *testing.T, l *Log) *Capture {
	t.Helper()
	c, err := NewCapture(l)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func all(l *Log) (out []string) {
	lines, _, _ := l.Read(nil, 0, 1<<20)
	for _, line := range lines {
		s := line.Stream.String() + " " + line.Text
		if line.Partial {
			s += "…"
		}
		out = append(out, s)
	}
	return out
}

// TestCapture: several processes, one after another, and every line is there
// when Close returns.
func TestCapture(t *testing.T) {
	l := NewLog(0)
	c := newCapture(t, l)
	before := time.Now()
	for range 2 {
		if err := command(c, "both").Run(); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	n := map[string]int{}
	for _, s := range all(l) { // the streams are not in order with each other
		n[s]++
	}
	if diff := cmp.Diff(map[string]int{"stdout to stdout": 2, "stderr to stderr": 2}, n); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	lines, _, _ := l.Read(nil, 0, 1)
	if at := lines[0].Time; at.Before(before) || at.After(time.Now()) {
		t.Errorf("time %v", at)
	}
}

func TestCaptureBlockingEnd(t *testing.T) {
	l := NewLog(0)
	c := newCapture(t, l)
	if err := command(c, "flags").Run(); err != nil {
		t.Fatal(err)
	}
	c.Close()
	if diff := cmp.Diff([]string{"stdout false <nil>"}, all(l)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestCaptureReopened: a process of another user opens its standard error
// again by its path.
func TestCaptureReopened(t *testing.T) {
	testenv.RequireRoot(t)
	l := NewLog(0)
	c := newCapture(t, l)
	cmd := command(c, "reopen")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	exe, err := os.Open("/proc/self/exe") // its directory is not everybody's
	if err != nil {
		t.Fatal(err)
	}
	defer exe.Close()
	cmd.ExtraFiles = []*os.File{exe}
	cmd.Path = "/proc/self/fd/3"
	if err := cmd.Run(); err != nil {
		t.Error(err)
	}
	c.Close()
	if diff := cmp.Diff([]string{"stderr reopened"}, all(l)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestCapturePartial: what has no newline shows up all the same, while the
// process is there and when the pipe is given up.
func TestCapturePartial(t *testing.T) {
	l := NewLog(0)
	c := newCapture(t, l)
	io.WriteString(c.Stdout, "a line\nname: ")
	if err := l.Wait(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	io.WriteString(c.Stdout, "x\nand the last")
	c.Close()
	want := []string{"stdout a line", "stdout name: …", "stdout x", "stdout and the last…"}
	if diff := cmp.Diff(want, all(l)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestCaptureDots: a row that grows for ever, each time before the wait for
// its newline is over, is not held back for ever.
func TestCaptureDots(t *testing.T) {
	l := NewLog(0)
	c := newCapture(t, l)
	defer c.Close()
	seen := make(chan error, 1)
	go func() { seen <- l.Wait(t.Context(), 0) }()
	tick := time.NewTicker(partialAfter / 10)
	defer tick.Stop()
	for limit := time.After(20 * time.Second); ; {
		select {
		case err := <-seen:
			if err != nil {
				t.Error(err)
			}
			return
		case <-tick.C:
			io.WriteString(c.Stdout, ".")
		case <-limit:
			t.Fatal("nothing was passed on")
		}
	}
}

// TestCaptureOutlived: a process that still holds the pipe does not keep Close
// waiting, and what it wrote before is there.
func TestCaptureOutlived(t *testing.T) {
	l := NewLog(0)
	c := newCapture(t, l)
	cmd := command(c, "stay")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := l.Wait(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	in.Close()
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{"stdout here"}, all(l)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestCaptureFast: a service that writes more than is kept is not held up, and
// the newest lines are there.
func TestCaptureFast(t *testing.T) {
	l := NewLog(64 << 10)
	c := newCapture(t, l)
	w := bufio.NewWriter(c.Stderr)
	const n = 200_000
	for i := range n {
		fmt.Fprintf(w, "line %d\n", i)
	}
	w.Flush()
	c.Close()
	lines, next, missed := l.Read(nil, 0, n)
	if next != n || missed+uint64(len(lines)) != n || len(lines) < 500 {
		t.Fatalf("next %d, missed %d, kept %d", next, missed, len(lines))
	}
	for i, line := range lines {
		if want := fmt.Sprintf("line %d", missed+uint64(i)); line.Text != want {
			t.Fatalf("%q, want %q", line.Text, want)
		}
	}
	if !strings.HasSuffix(lines[len(lines)-1].Text, fmt.Sprint(n-1)) {
		t.Error(lines[len(lines)-1])
	}
}
