package bench

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/ftnet/ftnet/internal/lab/netlab"
)

// Programs are the paths of what a run starts.
type Programs struct {
	Client string // the driver itself: started with -client JOB
	Server string // cmd/benchserver
	Plain  string // cmd/plainserver, the same on net.Listen
	Ftnet  string // cmd/ftnet; empty: only the plain half is measured
	// RuntimeDir is where ftnet keeps its sockets.
	RuntimeDir string
	// Name is what the column of these programs is called.
	Name string
}

const (
	port         = 7000
	startTimeout = 30 * time.Second
)

// world is one lab with one server in it, plain or protected.
type world struct {
	programs  Programs
	column    column
	name      string
	protected bool
	log       io.Writer
	lab       *netlab.Lab

	cmd       *netlab.Cmd  // the server, or ftnet with the server below it
	server    atomic.Int64 // process id of the present server
	ended     chan error
	listens   chan time.Time // when a server has begun to listen
	recovered chan time.Time // when the engine said that all connections were live
}

func openWorld(c Config, of column, p Programs) (*world, error) {
	lab, err := netlab.Open(nil)
	if err != nil {
		return nil, err
	}
	w := &world{programs: p, column: of, name: p.Name, protected: of != plainTCP, log: c.Progress, lab: lab}
	// Ten thousand connections to one address need as many ports, but for that of a
	// log server: a client's connection that has ended would keep it from listening.
	for name, value := range map[string]string{"ipv4/ip_local_port_range": "1024 65535", "ipv4/ip_local_reserved_ports": logPort} {
		if err := lab.Client.Sysctl(name, value); err != nil {
			return nil, errors.Join(err, lab.Close())
		}
	}
	if c.Congestion != "" {
		if err := lab.Client.Sysctl("ipv4/tcp_congestion_control", c.Congestion); err != nil {
			return nil, errors.Join(err, lab.Close())
		}
	}
	return w, nil
}

func (w *world) close() error { return errors.Join(w.stop(), w.lab.Close()) }

func (w *world) address() string {
	return netip.AddrPortFrom(netlab.Server4, port).String()
}

// start starts the server and returns once it listens.
func (w *world) start() error {
	if w.protected {
		return w.launch(w.listener())
	}
	return w.launch(w.lab.Server.Command(w.programs.Plain, "-listen", w.address()))
}

// listener is "ftnet run" with the server on ftnet.Listen. An upload stays in the log
// until its connection ends.
func (w *world) listener() *netlab.Cmd {
	return w.ftnet("--quota", "8GiB", "--quota-total", "10GiB", "--", w.programs.Server, "-listen", w.address())
}

// startUnmodified is start with the server that knows nothing of ftnet.
func (w *world) startUnmodified() error {
	return w.launch(w.ftnet("--quota", "2GiB", "--quota-total", "3GiB", "--unmodified", "--listen", w.address(),
		"--", w.programs.Plain, "-listen", w.address()))
}

// ftnet is "ftnet run" with these arguments.
func (w *world) ftnet(args ...string) *netlab.Cmd {
	return w.lab.Server.Command(w.programs.Ftnet, append([]string{"run", "--runtime-dir", w.programs.RuntimeDir}, args...)...)
}

// launch starts a server of this package and returns once it listens.
func (w *world) launch(cmd *netlab.Cmd) error {
	if err := w.spawn(cmd); err != nil {
		return err
	}
	_, err := w.await(w.listens, "the server does not listen", startTimeout)
	if err != nil {
		return errors.Join(err, w.stop())
	}
	return nil
}

// spawn starts any server; its output is watched for what it and the engine
// have to say.
func (w *world) spawn(cmd *netlab.Cmd) error {
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	listens, recovered := make(chan time.Time, 1), make(chan time.Time, 1)
	cmd.Stderr = &lines{to: w.log, match: "service recovered", at: recovered}
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	w.cmd, w.ended, w.listens, w.recovered = cmd, ended, listens, recovered
	go func() {
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			var pid, at int64
			if _, err := fmt.Sscanf(lines.Text(), ReadyFormat, &pid, &at); err != nil {
				fmt.Fprintln(w.log, lines.Text())
				continue
			}
			w.server.Store(pid)
			note(listens, time.Unix(0, at))
		}
		ended <- cmd.Wait()
	}()
	return nil
}

// await waits for a time from c, at most the given time, and for the end of the
// server, which is an error, as is that nothing came.
func (w *world) await(c <-chan time.Time, otherwise string, limit time.Duration) (time.Time, error) {
	select {
	case at := <-c:
		return at, nil
	case err := <-w.ended:
		w.cmd = nil
		return time.Time{}, fmt.Errorf("%s: it ended: %v", otherwise, err)
	case <-time.After(limit):
		return time.Time{}, errors.New(otherwise)
	}
}

// ReadyFormat is the line that a server prints, with its process id and the
// time in nanoseconds since 1970, whenever it has begun to listen.
const ReadyFormat = "listening %d %d\n"

// stop ends the server: politely, then by force.
func (w *world) stop() error {
	if w.cmd == nil {
		return nil
	}
	w.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-w.ended:
	case <-time.After(10 * time.Second):
		fmt.Fprintln(w.log, "the server does not end: killed")
		w.cmd.Process.Kill()
		<-w.ended
	}
	w.cmd = nil
	return nil
}

// kill kills the server process; ftnet starts it again.
func (w *world) kill() error {
	return syscall.Kill(int(w.server.Load()), syscall.SIGKILL)
}

// client is a client process at work.
type client struct {
	cmd    *netlab.Cmd
	in     io.WriteCloser
	out    *bufio.Reader
	errors bytes.Buffer
	ended  bool
}

func (w *world) client(job Job) (*client, error) { return w.clientIn(w.lab.Client, job) }

// clientIn starts a client process in a namespace of the lab.
func (w *world) clientIn(ns *netlab.Namespace, job Job) (*client, error) {
	job.Address = w.address()
	argument, err := json.Marshal(job)
	if err != nil {
		return nil, err
	}
	c := &client{cmd: ns.Command(w.programs.Client, "-client", string(argument))}
	c.cmd.Stderr = &c.errors
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c.out = bufio.NewReader(out)
	return c, c.cmd.Start()
}

// ready waits until the client has opened its connections.
func (c *client) ready() error {
	line, err := c.out.ReadString('\n')
	if err == nil && strings.TrimSpace(line) == "ready" {
		return nil
	}
	_, err = c.result()
	return fmt.Errorf("client is not ready: %q %w", line, err)
}

// proceed tells a client that is ready to go on.
func (c *client) proceed() error {
	_, err := io.WriteString(c.in, "\n")
	return err
}

// result waits for the client's end.
func (c *client) result() (Result, error) {
	var r Result
	decode := json.NewDecoder(c.out).Decode(&r)
	c.ended = true
	if err := c.cmd.Wait(); err != nil {
		return r, fmt.Errorf("client: %w: %s", err, strings.TrimSpace(c.errors.String()))
	}
	return r, decode
}

// stop ends a client whose result nobody has waited for.
func (c *client) stop() {
	if !c.ended {
		c.ended = true
		c.cmd.Process.Kill()
		c.cmd.Wait()
	}
}

// do runs a whole job.
func (w *world) do(job Job) (Result, error) { return w.run(w.lab.Client, job) }

// run runs a whole job in a namespace of the lab.
func (w *world) run(ns *netlab.Namespace, job Job) (Result, error) {
	c, err := w.clientIn(ns, job)
	if err != nil {
		return Result{}, err
	}
	return c.result()
}

// RaiseFileLimit lets this process and those it starts hold n connections each.
func RaiseFileLimit(n int) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return os.NewSyscallError("getrlimit", err)
	}
	files := uint64(n + 1000)
	// The hard limit may be above what is needed, and lifting it needs a
	// privilege (CAP_SYS_RESOURCE) that even root may lack.
	limit.Cur, limit.Max = max(files, limit.Max), max(files, limit.Max)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("%d open files: %w", files, os.NewSyscallError("setrlimit", err))
	}
	return nil
}
