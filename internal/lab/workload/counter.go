package workload

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"time"
)

// Counter is a client of examples/counter: connections that send lines
// without pause and check each reply against what the server must say.
type Counter struct {
	// Address is the server's, for example "10.0.0.1:7000".
	Address string
	// Conns is how many connections there are at a time. Default 1.
	Conns int
	// Lines is how many lines each connection sends before it finishes. 0
	// means that it sends until the context is done.
	Lines int
	// Redials is how many times each connection that has finished is followed
	// by a new one; -1 means until the context is done. Needs Lines.
	Redials int
	// Pipeline is how many lines may wait for their replies. Default 1: the
	// next line is sent when the reply has come.
	Pipeline int
	// MaxLine is the length of the longest line in bytes, with its line feed.
	// Default 100, at least 30.
	MaxLine int
	// Grace is how long connections may take to get their outstanding replies
	// and the server's FIN once the context is done. Default 30 s.
	Grace time.Duration
	// Seed makes the lines of one run differ from those of another.
	Seed uint64
	// Dial connects. Default a net.Dialer.
	Dial DialFunc
	// Reply, if set, is called for each right reply, from many goroutines,
	// with the number of the connection, 0 to Conns-1, and how long it came
	// after the previous one, or after its line if that was sent later.
	Reply func(conn int, pause time.Duration)
}

type counterRun struct {
	Counter
	results
}

// Run returns when all connections have finished: those without a number of
// lines do so, in order, when ctx is done.
func (c *Counter) Run(ctx context.Context) *Report {
	r := &counterRun{Counter: *c}
	r.Conns = max(r.Conns, 1)
	r.Pipeline = max(r.Pipeline, 1)
	if r.MaxLine == 0 {
		r.MaxLine = 100
	}
	r.MaxLine = max(r.MaxLine, 30)
	if r.Grace == 0 {
		r.Grace = 30 * time.Second
	}
	r.Dial = r.Dial.orDefault()
	if r.Lines == 0 {
		r.Redials = 0
	}
	r.crowd(ctx, r.Conns, r.Redials, func(n, round int) error { return r.talk(ctx, n, round) })
	return r.report()
}

// talk runs a connection from its dialling to the server's FIN.
func (r *counterRun) talk(ctx context.Context, n, round int) error {
	later, cancel := graceful(ctx, r.Grace)
	defer cancel()

	began := time.Now()
	conn, err := r.Dial(later, "tcp", r.Address)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer untilDone(later, conn)()

	f := flight{
		expected: make(chan expected, r.Pipeline),
		slots:    make(chan struct{}, r.Pipeline),
		over:     make(chan struct{}),
	}
	sender := make(chan error, 1)
	go func() {
		defer close(f.expected)
		sender <- r.send(ctx, conn, f, n, round)
	}()
	err = r.receive(conn, f, n, began)
	close(f.over)
	if err != nil {
		conn.SetDeadline(time.Unix(1, 0)) // ends a Write that waits
	}
	return errors.Join(err, <-sender)
}

// flight is what the sender and the receiver of a connection share.
type flight struct {
	expected chan expected // closed when the last line has been sent
	slots    chan struct{} // holds one element for each line that waits for its reply
	over     chan struct{} // closed when the receiver reads no more
}

// expected is a reply that is to come, and when its line was sent.
type expected struct {
	reply string
	bytes int
	at    time.Time
}

// send sends lines and then the FIN.
func (r *counterRun) send(ctx context.Context, conn net.Conn, f flight, n, round int) error {
	tally := newTally()
	lines := newLines(rand.New(rand.NewPCG(r.Seed, uint64(n)<<32|uint64(round))), r.MaxLine)
	for i := 0; (r.Lines == 0 || i < r.Lines) && ctx.Err() == nil; i++ {
		select {
		case f.slots <- struct{}{}:
		case <-f.over:
			return nil // the receiver says why
		}
		line := lines.next()
		at := time.Now()
		if _, err := conn.Write(line); err != nil {
			return fmt.Errorf("line %d: %w", i+1, err)
		}
		f.expected <- expected{tally.add(line), len(line), at}
	}
	if c, ok := conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return nil
}

// receive checks the replies until the server's FIN.
func (r *counterRun) receive(conn net.Conn, f flight, n int, last time.Time) error {
	in := bufio.NewReaderSize(conn, 4096)
	number := 0
	for want := range f.expected {
		number++
		reply, err := in.ReadString('\n')
		if err != nil {
			return fmt.Errorf("reply %d: %w", number, err)
		}
		if reply != want.reply {
			return fmt.Errorf("reply %d is %q, want %q", number, reply, want.reply)
		}
		<-f.slots
		now := time.Now()
		pause := now.Sub(last)
		if number > 1 && want.at.After(last) {
			pause = now.Sub(want.at)
		}
		last = now
		r.pause.tell(pause)
		r.lines.Add(1)
		r.bytes.Add(int64(want.bytes + len(reply)))
		if r.Reply != nil {
			r.Reply(n, pause)
		}
	}
	if extra, err := in.ReadString('\n'); err != io.EOF || extra != "" {
		return fmt.Errorf("after the last reply: %q, %v, want the server's FIN", extra, err)
	}
	return nil
}
