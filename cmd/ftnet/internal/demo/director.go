package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"syscall"
	"time"
)

// How long the director waits for its processes.
const (
	startPatience = 20 * time.Second
	stopPatience  = 15 * time.Second
)

// Config of a show.
type Config struct {
	Stage  *Stage
	Screen Screen
	// Server is the command line that runs the server process and starts it
	// again; the server calls Announce each time.
	Server []string
	// Client is the command line of a process that calls RunClients until its
	// standard input ends.
	Client []string
	Length time.Duration
	Kills  int
}

// Run performs the show. The end of ctx ends it early but in order. When Run
// returns, no process of it is left. An error means that the show itself failed;
// what the clients saw is in the result.
func Run(ctx context.Context, cfg Config) (Result, error) {
	d := &director{cfg: cfg, story: &Story{Length: cfg.Length}, over: make(chan struct{}),
		pids: make(chan int), reports: make(chan Report)}
	defer cfg.Screen.Close()
	err := d.run(ctx)
	return d.story.Result(), err
}

type director struct {
	cfg     Config
	story   *Story
	start   time.Time
	pids    chan int
	reports chan Report
	over    chan struct{} // closed by curtain: nobody receives any more
	closed  sync.Once
}

// curtain lets the readers of the processes' output go on to its end.
func (d *director) curtain() { d.closed.Do(func() { close(d.over) }) }

func (d *director) run(ctx context.Context) (err error) {
	server, err := launch(d.cfg.Stage.server, "server", d.cfg.Server, func(r io.Reader) {
		readServing(r, func(pid int) { send(d, d.pids, pid) })
	})
	if err != nil {
		return err
	}
	defer func() {
		d.curtain()
		if stopErr := server.stop(syscall.SIGTERM, stopPatience); err == nil && stopErr != nil {
			err = server.failure()
		}
	}()
	if err := d.waitServing(ctx, server); err != nil {
		return err
	}
	clients, err := launch(d.cfg.Stage.client, "client process", d.cfg.Client, func(r io.Reader) {
		readReports(r, func(rep Report) { send(d, d.reports, rep) })
	})
	if err != nil {
		return err
	}
	defer func() {
		d.curtain()
		if err != nil {
			_ = clients.stop(syscall.SIGKILL, 0)
		} else if clients.stop(0, stopPatience) != nil {
			err = clients.failure()
		}
	}()
	return d.perform(ctx, server, clients)
}

// send gives v to the director unless the show is over.
func send[T any](d *director, to chan T, v T) {
	select {
	case to <- v:
	case <-d.over:
	}
}

func (d *director) waitServing(ctx context.Context, server *actor) error {
	timeout := time.NewTimer(startPatience)
	defer timeout.Stop()
	select {
	case d.story.PID = <-d.pids:
		d.story.Serving = append(d.story.Serving, 0)
		return nil
	case <-server.ended:
		return server.failure()
	case <-timeout.C:
		return errors.New("the server does not listen" + server.tail.String())
	case <-ctx.Done():
		return ctx.Err()
	}
}

// perform is the show: kill at the right moments, show what happens, end it.
func (d *director) perform(ctx context.Context, server, clients *actor) error {
	d.start = time.Now()
	d.cfg.Screen.Event(0, fmt.Sprintf("pid %d serves", d.story.PID))
	kill := time.NewTimer(d.killTime(0))
	defer kill.Stop()
	end := time.After(d.cfg.Length)
	cancelled := ctx.Done()
	finish := func() {
		cancelled, end = nil, nil
		kill.Stop()
		clients.stdin.Close()
	}
	for {
		select {
		case pid := <-d.pids:
			d.story.Served(d.now(), pid)
			d.cfg.Screen.Event(d.now(), fmt.Sprintf("pid %d serves", pid))
			if n := len(d.story.Kills); end != nil && n < d.cfg.Kills {
				// One that was late to serve is to be seen serving.
				kill.Reset(max(d.killTime(n)-d.now(), d.period()/4))
			}
		case <-kill.C:
			d.kill()
		case rep := <-d.reports:
			d.story.Report(d.now(), rep)
			d.cfg.Screen.Draw(d.story)
			if rep.Done {
				return nil
			}
		case <-end:
			finish()
		case <-cancelled:
			finish()
		case <-clients.ended:
			return clients.failure()
		case <-server.ended:
			return server.failure()
		}
	}
}

func (d *director) now() time.Duration { return time.Since(d.start) }

// killTime spreads the kills evenly: the first comes half a period after the
// start, so that the last recovery is seen too.
func (d *director) killTime(n int) time.Duration {
	return d.period()/2 + time.Duration(n)*d.period()
}

func (d *director) period() time.Duration {
	if d.cfg.Kills == 0 {
		return 365 * 24 * time.Hour
	}
	return d.cfg.Length / time.Duration(d.cfg.Kills)
}

// kill is the villain's part.
func (d *director) kill() {
	if d.story.PID == 0 {
		return // Served sets the timer again
	}
	pid := d.story.PID
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		return // it has just died by itself; the next one is due when it serves
	}
	d.story.Killed(d.now())
	d.cfg.Screen.Event(d.now(), fmt.Sprintf("pid %d killed", pid))
}
