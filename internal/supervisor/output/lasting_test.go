package output

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// forsake lets go of a Capture as the death of its process does.
func forsake(c *Capture) {
	for _, r := range c.readers {
		r.pipe.Close()
	}
	c.Stdout.Close()
	c.Stderr.Close()
	c.wg.Wait()
}

func lasting(t *testing.T, log *Log, dir string) *Capture {
	t.Helper()
	c, err := NewLasting(log, dir)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestLasting: a process writes on while nobody reads, and the next daemon has
// it all. After its end nothing is left.
func TestLasting(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "web")
	l := NewLog(0)
	c := lasting(t, l, dir)
	cmd := command(c, "chatter")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go cmd.Wait()
	if err := l.Wait(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	for round := range 3 {
		forsake(c)
		const n = 3000 // more than 64 KiB
		if _, err := fmt.Fprintln(in, n); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
		l = NewLog(10 << 20)
		c = lasting(t, l, dir)
		if err := l.Wait(t.Context(), 2*n-1); err != nil {
			t.Fatal(err)
		}
		lines, _, _ := l.Read(nil, 0, 10*n)
		next := map[Stream]int{}
		for _, line := range lines {
			if want := fmt.Sprint("line ", next[line.Stream], " "); !strings.HasPrefix(line.Text, want) {
				t.Fatalf("round %d: %v %.20q, want %s", round, line.Stream, line.Text, want)
			}
			next[line.Stream]++
		}
		if next[Stdout] != n || next[Stderr] != n {
			t.Errorf("round %d: %v", round, next)
		}
	}
	in.Close()
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(dir); !os.IsNotExist(err) {
		t.Errorf("the directory is left: %v", err)
	}
}

// chatter writes as many lines as it is told, to both streams, until its input
// ends.
func chatter() int {
	fmt.Println("here")
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		var n int
		fmt.Sscan(in.Text(), &n)
		for i := range n {
			for _, f := range []*os.File{os.Stdout, os.Stderr} {
				if _, err := fmt.Fprintln(f, "line", i, strings.Repeat(".", 20)); err != nil {
					return 1
				}
			}
		}
	}
	return 0
}

func TestLastingEnds(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "web")
	l := NewLog(0)
	c := lasting(t, l, dir)
	for _, f := range []*os.File{c.Stdout, c.Stderr} {
		var st unix.Stat_t
		if err := unix.Fstat(int(f.Fd()), &st); err != nil || st.Mode&0o777 != 0o622 {
			t.Errorf("mode %o, %v", st.Mode, err)
		}
	}
	cmd := command(c, "flags")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	io.WriteString(c.Stderr, "the last")
	c.Close()
	if got := fmt.Sprint(all(l)); got != "[stdout false <nil> stderr the last…]" && got != "[stderr the last… stdout false <nil>]" {
		t.Errorf("got %s", got)
	}
}

func TestLastingRefuses(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := NewLasting(NewLog(0), dir); err == nil {
		t.Error("a directory of others")
	}
	dir = filepath.Join(dir, "web")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "stderr"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := NewLasting(NewLog(0), dir); err == nil {
		t.Error("a file in place of a FIFO")
	}
}
