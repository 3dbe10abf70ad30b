package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"testing"
	"time"
)

// client is one connection to the probe server.
type client struct {
	t testing.TB
	net.Conn
	in   *bufio.Reader
	sent uint64 // bytes
}

// patience is how long a client waits for one thing, with all else that a machine may have
// to do.
const patience = 90 * time.Second

const probeAddress = "10.77.0.2:7002"

func (r *rig) dial() *client {
	r.t.Helper()
	return r.dialTo(fromClient(r), probeAddress)
}

func (r *rig) dialTo(dial dialer, address string) *client {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	c, err := dial(ctx, "tcp", address)
	if err != nil {
		r.t.Fatal(err)
	}
	return r.talks(c)
}

// talks makes a client of a connection that has been dialled.
func (r *rig) talks(c net.Conn) *client {
	r.t.Helper()
	r.t.Cleanup(func() { c.Close() })
	client := &client{t: r.t, Conn: c, in: bufio.NewReader(c)}
	client.begin()
	return client
}

// begin gives what the client does next its time.
func (c *client) begin() {
	c.t.Helper()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) send(line string) {
	c.t.Helper()
	c.begin()
	n, err := io.WriteString(c, line+"\n")
	c.sent += uint64(n)
	if err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) expect(want string) {
	c.t.Helper()
	c.begin()
	got, err := c.in.ReadString('\n')
	if err != nil || got != want+"\n" {
		c.t.Fatalf("got %q, %v; want %q", got, err, want)
	}
}

func (c *client) echo(text string) {
	c.t.Helper()
	c.send("echo " + text)
	c.expect(text)
}

func (c *client) expectEOF() {
	c.t.Helper()
	c.begin()
	if b, err := c.in.ReadByte(); err != io.EOF {
		c.t.Fatalf("got %q, %v; want the end of the stream", b, err)
	}
}

// abort has the kernel send a RST.
func (c *client) abort() {
	c.t.Helper()
	if err := c.Conn.(*net.TCPConn).SetLinger(0); err != nil {
		c.t.Fatal(err)
	}
	c.Close()
}

// expectReset waits for a RST, less long than for the answer to a keepalive.
func (c *client) expectReset() {
	c.t.Helper()
	c.SetReadDeadline(time.Now().Add(10 * time.Second))
	if b, err := c.in.ReadByte(); !errors.Is(err, syscall.ECONNRESET) {
		c.t.Errorf("got %q, %v; want a reset", b, err)
	}
}

// clients dials n and has each of them say something.
func (r *rig) clients(n int) (list []*client) {
	r.t.Helper()
	for i := range n {
		c := r.dial()
		c.echo(fmt.Sprint("hello ", i))
		list = append(list, c)
	}
	return list
}
