package demo

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// serving is how a server process says that it listens: one line on its
// standard output with its process id.
const serving = "serving"

// Announce writes that line.
func Announce(w io.Writer, pid int) error {
	_, err := fmt.Fprintln(w, serving, pid)
	return err
}

// actor is one process of the show.
type actor struct {
	name  string
	cmd   *exec.Cmd
	stdin io.Closer
	err   error         // valid after ended
	ended chan struct{} // closed when it was reaped
	tail  tail          // what it said on standard error
}

// launch starts a process and gives its standard output to read, which must
// return at its end.
func launch(p *place, name string, args []string, read func(io.Reader)) (*actor, error) {
	a := &actor{name: name, cmd: exec.Command(args[0], args[1:]...), ended: make(chan struct{})}
	a.cmd.Stderr = &a.tail
	stdin, err := a.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := a.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	a.stdin = stdin
	if err := p.start(a.cmd); err != nil {
		return nil, fmt.Errorf("start the %s: %w", name, err)
	}
	go func() {
		read(stdout)
		a.err = a.cmd.Wait()
		close(a.ended)
	}()
	return a, nil
}

// failure says why it ended, with its last words.
func (a *actor) failure() error {
	reason := "it ended"
	if a.err != nil {
		reason = a.err.Error()
	}
	return fmt.Errorf("the %s failed: %s%s", a.name, reason, a.tail.String())
}

// stop asks it to end and makes sure that it does. To end by that signal is in order: a
// process that has just been started does not handle it yet, and ftnet passes that on.
func (a *actor) stop(sig syscall.Signal, patience time.Duration) error {
	_ = a.cmd.Process.Signal(sig) // it may have ended already
	timer := time.AfterFunc(patience, func() { _ = a.cmd.Process.Kill() })
	defer timer.Stop()
	<-a.ended
	var exit *exec.ExitError
	if errors.As(a.err, &exit) {
		status, ok := exit.Sys().(syscall.WaitStatus)
		if ok && (status.Signaled() && status.Signal() == sig || status.ExitStatus() == 128+int(sig)) {
			return nil
		}
	}
	return a.err
}

// readServing reports the process ids in the lines of Announce.
func readServing(r io.Reader, each func(pid int)) {
	for in := bufio.NewScanner(r); in.Scan(); {
		var pid int
		if n, _ := fmt.Sscanf(in.Text(), serving+" %d", &pid); n == 1 {
			each(pid)
		}
	}
}

// readReports reports what RunClients writes.
func readReports(r io.Reader, each func(Report)) {
	for dec := json.NewDecoder(r); ; {
		var rep Report
		if dec.Decode(&rep) != nil {
			return
		}
		each(rep)
	}
}

// tailLines is how much of a process's messages is worth showing.
const tailLines = 12

// tail keeps the last lines that were written to it.
type tail struct {
	mu   sync.Mutex // guards text
	text string
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text += string(p)
	if all := strings.SplitAfter(t.text, "\n"); len(all) > tailLines {
		t.text = strings.Join(all[len(all)-tailLines:], "")
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.text == "" {
		return ""
	}
	return "\n" + strings.TrimRight(t.text, "\n")
}
