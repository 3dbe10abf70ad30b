package rawiotest

import (
	"errors"
	"testing"
	"time"
)

func TestKeepAlive(t *testing.T) {
	l := newLab(t, 1, Impairment{}, Config{}, Config{})
	c, s := l.connect()
	c.SetKeepAlive(10*time.Second, time.Second, 3)
	l.settle(time.Minute)
	if c.Err() != nil || s.State() != Established || len(l.toServer) < 5 {
		t.Fatalf("client %v, server %v, %d packets", c.Err(), s.State(), len(l.toServer))
	}
	l.dropToServer = func(*Packet) bool { return true }
	l.run(15*time.Second, func() bool { return errors.Is(c.Err(), ErrTimeout) })
}

// A handshake that takes longer than a connection may be idle: the timer begins again
// when it is done (tcp_finish_connect).
func slowHandshake(x *script) {
	x.stop()
	x.does("connect", func() { x.connect(x.server, x.peer, 1) })
	x.does("wait", func() { x.wait(1200 * time.Millisecond) }) // the SYN again, which is not noted
	x.say(syn|ack, 0, 1, 0)
	x.does("wait", func() { x.wait(700 * time.Millisecond) })
	x.does("wait", func() { x.wait(500 * time.Millisecond) })
	x.say(ack, 1, 1, 0)
}

func init() { scripts["slow handshake, keepalive"] = slowHandshake }

// TestKeepAliveAfterASlowHandshake is the same on Stack alone.
func TestKeepAliveAfterASlowHandshake(t *testing.T) {
	log := play1(t, newModelHost(t), 7000, true, slowHandshake)
	if want := "  < A seq 0 len 0 ack 1"; log[len(log)-2] != want {
		t.Errorf("%q, want the probe %q before the end", log, want)
	}
}
