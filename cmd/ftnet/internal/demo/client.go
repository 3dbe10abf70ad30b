package demo

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"time"
)

// stall is how long a client waits for a reply before it calls that an error.
const stall = 15 * time.Second

// reportEvery is the pace of reports: fine enough for a smooth picture.
const reportEvery = 50 * time.Millisecond

// visitLines is how much a visitor says.
const visitLines = 3

// ClientConfig is what the client process runs.
type ClientConfig struct {
	Address  string
	Clients  int           // that stay for the whole show
	Pace     time.Duration // between a reply and the next line
	Visitors time.Duration // between new short connections; 0 for none
}

// Report is what all clients have seen so far.
type Report struct {
	Clients  []ClientReport
	Visitors ClientReport // of all visitors together
	Done     bool         // the last one
}

// ClientReport is what one client has seen so far.
type ClientReport struct {
	Connections int
	Replies     uint64
	Bytes       uint64        // both ways
	Longest     time.Duration // the longest wait for a reply
	Waiting     time.Duration // for the next one, now
	Waited      time.Duration // the longest wait since the report before
	LastReply   string
	Errors      int
	LastError   string
}

// observer collects a ClientReport.
type observer struct {
	mu    sync.Mutex // guards what follows
	r     ClientReport
	asked map[any]time.Time // exchanges under way
}

func (o *observer) change(f func(*ClientReport)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	f(&o.r)
}

func (o *observer) fail(err error) {
	o.change(func(r *ClientReport) { r.Errors++; r.LastError = err.Error() })
}

func (o *observer) ask(key any, now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.asked == nil {
		o.asked = make(map[any]time.Time)
	}
	o.asked[key] = now
}

// answered ends what ask began; bytes 0 means that no answer came.
func (o *observer) answered(key any, now time.Time, reply string, bytes int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.r.Waited = max(o.r.Waited, now.Sub(o.asked[key]))
	delete(o.asked, key)
	if bytes > 0 {
		o.r.Replies++
		o.r.Bytes += uint64(bytes)
		o.r.LastReply = reply
	}
}

func (o *observer) report(now time.Time) ClientReport {
	o.mu.Lock()
	defer o.mu.Unlock()
	r := o.r
	o.r.Longest, o.r.Waited = max(r.Longest, r.Waited), 0
	for _, since := range o.asked {
		r.Waiting = max(r.Waiting, now.Sub(since))
	}
	r.Waited = max(r.Waited, r.Waiting)
	r.Longest = max(r.Longest, r.Waited)
	return r
}

// RunClients talks to the server until ctx ends, then lets every conversation
// finish. Reports go to out as lines of JSON; the last one has Done set.
func RunClients(ctx context.Context, cfg ClientConfig, out io.Writer) error {
	clients := make([]*observer, cfg.Clients)
	visitors := new(observer)
	var wg sync.WaitGroup
	for i := range clients {
		clients[i] = new(observer)
		wg.Go(func() { clients[i].stay(ctx, cfg) })
	}
	if cfg.Visitors > 0 {
		wg.Go(func() { visitors.visit(ctx, cfg) })
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()

	enc := json.NewEncoder(out)
	tick := time.NewTicker(reportEvery)
	defer tick.Stop()
	for last := false; !last; {
		select {
		case <-tick.C:
		case <-done:
			last = true
		}
		now := time.Now()
		rep := Report{Visitors: visitors.report(now), Done: last}
		for _, c := range clients {
			rep.Clients = append(rep.Clients, c.report(now))
		}
		if err := enc.Encode(rep); err != nil {
			return err // the director is gone
		}
	}
	return nil
}

// stay holds one conversation. A client that sees an error comes back, with a
// new connection, to see the next one.
func (o *observer) stay(ctx context.Context, cfg ClientConfig) {
	for ctx.Err() == nil {
		if err := o.talk(ctx, cfg.Address, cfg.Pace, 0); err != nil {
			o.fail(err)
			sleep(ctx, cfg.Pace)
		}
	}
}

// visit dials again and again, whatever the server is doing.
func (o *observer) visit(ctx context.Context, cfg ClientConfig) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for ctx.Err() == nil {
		wg.Go(func() {
			if err := o.talk(ctx, cfg.Address, 0, visitLines); err != nil {
				o.fail(err)
			}
		})
		sleep(ctx, cfg.Visitors)
	}
}

// talk is one conversation: lines until ctx ends, or n of them if n > 0, then a
// clean end.
func (o *observer) talk(ctx context.Context, address string, pace time.Duration, n int) error {
	key := new(int)
	o.ask(key, time.Now())
	c, err := net.DialTimeout("tcp", address, stall)
	o.answered(key, time.Now(), "", 0)
	if err != nil {
		return err
	}
	defer c.Close()
	o.change(func(r *ClientReport) { r.Connections++ })

	var (
		in     = bufio.NewReader(c)
		ledger Ledger
	)
	for i := 0; ctx.Err() == nil && (n == 0 || i < n); i++ {
		line := fmt.Sprintf("add %d %s", rand.Uint64(), strings.Repeat("x", rand.IntN(200)))
		now := time.Now()
		_ = c.SetDeadline(now.Add(stall))
		o.ask(key, now)
		reply, err := exchange(c, in, line)
		if err != nil {
			o.answered(key, time.Now(), "", 0)
			return err
		}
		o.answered(key, time.Now(), reply, len(line)+len(reply)+2)
		if want := ledger.Add(line); reply != want {
			return fmt.Errorf("wrong reply %q, want %q", reply, want)
		}
		sleep(ctx, pace)
	}
	return o.leave(c, in)
}

func exchange(c net.Conn, in *bufio.Reader, line string) (string, error) {
	if _, err := io.WriteString(c, line+"\n"); err != nil {
		return "", err
	}
	reply, err := in.ReadString('\n')
	if errors.Is(err, io.EOF) {
		err = errors.New("the server ended the connection")
	}
	return strings.TrimSuffix(reply, "\n"), err
}

// leave ends the conversation as it should: both ends close, nothing is left over.
func (o *observer) leave(c net.Conn, in *bufio.Reader) error {
	_ = c.SetDeadline(time.Now().Add(stall))
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		return err
	}
	rest, err := io.ReadAll(in)
	if err == nil && len(rest) > 0 {
		err = fmt.Errorf("%d bytes too many at the end", len(rest))
	}
	return err
}

func sleep(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
