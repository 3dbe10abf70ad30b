package recovery

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/ftnet/ftnet/internal/lab/testenv"
	"github.com/ftnet/ftnet/internal/status"
	"github.com/ftnet/ftnet/recovery/config"
)

// patience is how long a test waits for anything.
const patience = 20 * time.Second

// lab is a host under test.
type lab struct {
	*Host
	t   *testing.T
	log *logbook
}

// newLab opens a host in the tests' namespace.
func newLab(t *testing.T, edit func(*HostConfig)) *lab {
	t.Helper()
	testenv.RequireRoot(t)
	book := &logbook{more: make(chan struct{})}
	cfg := DefaultHost()
	cfg.RuntimeDir, cfg.BPFFS, cfg.MaxConnections = publicDir(t), testenv.BPFFS(t), 256
	cfg.Log.QuotaTotal, cfg.Unmodified = 64<<20, true
	cfg.Logger = hclog.New(&hclog.LoggerOptions{Level: hclog.Debug, Output: book})
	if edit != nil {
		edit(&cfg)
	}
	h, err := OpenHost(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Errorf("close the host: %v", err)
		}
		testenv.NothingPinned(t, cfg.BPFFS)
		if t.Failed() {
			t.Logf("the engine's log:\n%s", book.String())
		}
	})
	return &lab{Host: h, t: t, log: book}
}

// publicDir is a directory that every user may enter.
func publicDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "ftnet-recovery-")
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// server is a service whose server plays a role of the test binary.
func server(name, role string, listen ...string) config.Service {
	cfg := config.NewService(name, config.ModeUnmodified, os.Args[0])
	cfg.Listen, cfg.StopTimeout, cfg.Drain = listen, patience, 100*time.Millisecond
	if strings.HasPrefix(role, "listen") {
		cfg.Mode = config.ModeListen
	}
	setenv(&cfg, roleEnv, role)
	return cfg
}

// setenv changes the environment of a service, not of those that it was copied from.
func setenv(cfg *config.Service, name, value string) {
	env := map[string]string{name: value}
	for name, value := range cfg.Env {
		if _, ok := env[name]; !ok {
			env[name] = value
		}
	}
	cfg.Env = env
}

// add adds a service.
func (l *lab) add(cfg config.Service) (*Service, error) { return l.Add(cfg, Inherit{}) }

// running is a service whose Run has been called.
type running struct {
	*Service
	t      *testing.T
	cancel func()
	done   chan struct{}
	result error
}

// run adds a service and runs it until the test ends.
func (l *lab) run(cfg config.Service) *running {
	l.t.Helper()
	s, err := l.add(cfg)
	if err != nil {
		l.t.Fatal(err)
	}
	return l.again(s)
}

// again runs a service that has been added.
func (l *lab) again(s *Service) *running {
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{Service: s, t: l.t, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(r.done)
		r.result = s.Run(ctx)
	}()
	l.t.Cleanup(func() { cancel(); <-r.done })
	return r
}

// serves waits until the service serves and returns how many connections it
// has recovered.
func (r *running) serves() int {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	n, err := r.Await(ctx)
	if err != nil {
		r.t.Fatalf("%s does not serve: %v", r.Name(), err)
	}
	return n
}

// ends waits for the end of Run.
func (r *running) ends() error {
	r.t.Helper()
	select {
	case <-r.done:
		return r.result
	case <-time.After(patience):
		r.t.Fatalf("%s does not end", r.Name())
		return nil
	}
}

// program is what the status says about a service.
func (l *lab) program(name string) (p status.Program, ports []status.Service) {
	l.t.Helper()
	d := l.Document()
	for _, p = range d.Programs {
		if p.Name == name {
			for _, s := range d.Services {
				if s.Program == name {
					ports = append(ports, s)
				}
			}
			return p, ports
		}
	}
	l.t.Fatalf("no service %s in %+v", name, d)
	return p, nil
}

// client is a connection to a server of the tests.
type client struct {
	net.Conn
	t  *testing.T
	in *bufio.Reader
}

func (l *lab) dial(address string) *client {
	l.t.Helper()
	c, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { c.Close() })
	return &client{Conn: c, t: l.t, in: bufio.NewReader(c)}
}

// ask sends a line and returns the answer.
func (c *client) ask(format string, args ...any) string {
	c.t.Helper()
	c.send(format, args...)
	_ = c.SetReadDeadline(time.Now().Add(patience))
	line, err := c.in.ReadString('\n')
	if err != nil {
		c.t.Fatalf("answer to %q: %v", fmt.Sprintf(format, args...), err)
	}
	return strings.TrimSpace(line)
}

func (c *client) send(format string, args ...any) {
	c.t.Helper()
	if _, err := fmt.Fprintf(c, format+"\n", args...); err != nil {
		c.t.Fatal(err)
	}
}

// expect asks and compares.
func (c *client) expect(want, format string, args ...any) {
	c.t.Helper()
	if got := c.ask(format, args...); got != want {
		c.t.Errorf("answer to %q: %q, want %q", fmt.Sprintf(format, args...), got, want)
	}
}

// ended returns how the connection ends for the client: io.EOF or an error.
func (c *client) ended() error {
	c.t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(patience))
	rest, err := io.ReadAll(c.in)
	if err == nil {
		err = io.EOF
	}
	if len(rest) > 0 {
		c.t.Errorf("unexpected %q", rest)
	}
	return err
}

// logbook is what the engine has logged.
type logbook struct {
	mu   sync.Mutex
	text bytes.Buffer
	more chan struct{} // closed and replaced at each line
}

func (b *logbook) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	close(b.more)
	b.more = make(chan struct{})
	return b.text.Write(p)
}

func (b *logbook) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// wait waits for a line that has all the words and returns it.
func (b *logbook) wait(t *testing.T, words ...string) string {
	t.Helper()
	late := time.After(patience)
	for {
		b.mu.Lock()
		text, more := b.text.String(), b.more
		b.mu.Unlock()
	lines:
		for line := range strings.Lines(text) {
			for _, w := range words {
				if !strings.Contains(line, w) {
					continue lines
				}
			}
			return line
		}
		select {
		case <-more:
		case <-late:
			t.Fatalf("the log never said %q:\n%s", words, text)
		}
	}
}
