package workload

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"time"
)

// Redis is a client of a Redis server: connections that run random commands
// without pause, each on keys of its own, and check each reply byte by byte
// against what the server must say.
type Redis struct {
	// Address is the server's, for example "10.0.0.1:6379".
	Address string
	// Conns is how many connections there are at a time. Default 1.
	Conns int
	// Batches is how many pipelines of commands each connection sends before
	// it finishes. 0 means that it sends until the context is done.
	Batches int
	// Redials is how many times each connection that has finished is followed
	// by a new one, with new keys; -1 means until the context is done. Needs
	// Batches.
	Redials int
	// Pipeline is how many commands are sent at most before their replies
	// are read. Default 16.
	Pipeline int
	// MaxValue is the length of the longest value in bytes. Default 4 KiB.
	MaxValue int
	// Grace is how long connections may take to get their outstanding replies
	// and the server's FIN once the context is done. Default 30 s.
	Grace time.Duration
	// Seed makes the commands of one run differ from those of another.
	Seed uint64
	// Dial connects. Default a net.Dialer.
	Dial DialFunc
	// Replied, if set, is called after each batch, from many goroutines, with how many
	// commands were answered rightly.
	Replied func(commands int)
}

type redisRun struct {
	Redis
	results
}

// Run returns when all connections have finished: those without a number of
// batches do so, in order, when ctx is done.
func (c *Redis) Run(ctx context.Context) *Report {
	r := &redisRun{Redis: *c}
	r.Conns = max(r.Conns, 1)
	if r.Pipeline == 0 {
		r.Pipeline = 16
	}
	if r.MaxValue == 0 {
		r.MaxValue = 4 << 10
	}
	if r.Grace == 0 {
		r.Grace = 30 * time.Second
	}
	if r.Batches == 0 {
		r.Redials = 0
	}
	r.Dial = r.Dial.orDefault()
	r.crowd(ctx, r.Conns, r.Redials, func(n, round int) error { return r.talk(ctx, n, round) })
	return r.report()
}

// talk runs a connection from its dialling to the server's FIN.
func (r *redisRun) talk(ctx context.Context, n, round int) error {
	later, cancel := graceful(ctx, r.Grace)
	defer cancel()
	conn, err := r.Dial(later, "tcp", r.Address)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer untilDone(later, conn)()
	random := rand.New(rand.NewPCG(r.Seed, uint64(n)<<32|uint64(round)))
	model := newRedisModel(random, fmt.Sprintf("%d:%d.%d:", r.Seed, n, round), r.MaxValue)
	for i := 0; (r.Batches == 0 || i < r.Batches) && ctx.Err() == nil; i++ {
		b := model.batch(1 + random.IntN(r.Pipeline))
		if err := r.exchange(conn, b); err != nil {
			return fmt.Errorf("batch %d: %w", i+1, err)
		}
	}
	if c, ok := conn.(interface{ CloseWrite() error }); ok {
		if err := c.CloseWrite(); err != nil {
			return err
		}
	}
	if n, err := io.Copy(io.Discard, conn); n > 0 || err != nil {
		return fmt.Errorf("after the last reply: %d bytes, %v, want the server's FIN", n, err)
	}
	return nil
}

// batch is some commands that are sent together.
type batch struct {
	commands []string // encoded
	replies  []string // one or more for each command
}

// batch makes n commands, or a few more where they include a transaction.
func (m *redisModel) batch(n int) (b batch) {
	for len(b.commands) < n {
		if m.rnd.IntN(20) > 0 {
			command, reply := m.next()
			b.commands = append(b.commands, respBulks(command))
			b.replies = append(b.replies, reply)
			continue
		}
		commands, replies := m.transaction()
		for _, command := range commands {
			b.commands = append(b.commands, respBulks(command))
		}
		b.replies = append(b.replies, replies)
	}
	return b
}

// exchange sends the commands and reads the replies. A reply is told from what
// it should be at the first byte that differs: no reply is the beginning of
// another one.
func (r *redisRun) exchange(conn net.Conn, b batch) error {
	began := time.Now()
	sent, err := io.WriteString(conn, strings.Join(b.commands, ""))
	if err != nil {
		return err
	}
	want := strings.Join(b.replies, "")
	got := make([]byte, len(want))
	for n := 0; n < len(got); {
		m, err := conn.Read(got[n:])
		if !bytes.Equal(got[n:n+m], []byte(want[n:n+m])) {
			return b.difference(got[:n+m])
		}
		if n += m; err != nil && n < len(got) {
			return fmt.Errorf("%d of %d bytes of the replies to %.200q: %w", n, len(got), b.commands, err)
		}
		r.pause.tell(time.Since(began))
		began = time.Now()
	}
	r.lines.Add(int64(len(b.commands)))
	r.bytes.Add(int64(sent + len(got)))
	if r.Replied != nil {
		r.Replied(len(b.commands))
	}
	return nil
}

// difference names the first reply that is not what it should be.
func (b batch) difference(got []byte) error {
	for i, want := range b.replies {
		n := min(len(want), len(got))
		if string(got[:n]) != want[:n] {
			return fmt.Errorf("reply %d is %.200q, want %.200q (commands %.300q)", i+1, got, want, b.commands)
		}
		got = got[n:]
	}
	return fmt.Errorf("more than all replies: %.200q", got)
}
