package workload

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/ftnet/ftnet/internal/lab/testenv"
)

// redisServer runs a real server, which is the judge of the model.
func redisServer(t *testing.T) string {
	t.Helper()
	testenv.RequireTool(t, "redis-server")
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := ln.Addr().String()
	ln.Close()
	_, port, _ := net.SplitHostPort(address)
	cmd := exec.Command("redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", t.TempDir())
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Logf("redis-server:\n%s", &out)
		}
	})
	for deadline := time.Now().Add(10 * time.Second); ; <-time.After(5 * time.Millisecond) {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			conn.Close()
			return address
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

func TestRedis(t *testing.T) {
	c := Redis{Address: redisServer(t), Conns: 5, Batches: 300, Redials: 1, Seed: 1}
	r := c.Run(context.Background())
	if err := r.Err(); err != nil {
		t.Fatal(err)
	}
	if r.Conns != 10 || r.Lines < 10*300 || r.Bytes < 100*r.Lines || r.LongestPause <= 0 {
		t.Errorf("%+v", r)
	}
}

// TestRedisDetects puts a server in between that spoils one byte, swallows one
// or says one twice.
func TestRedisDetects(t *testing.T) {
	behind := redisServer(t)
	const at = 5000
	for name, spoil := range map[string]func(b []byte) []byte{
		"changed":  func(b []byte) []byte { b[0] ^= 1; return b },
		"lost":     func(b []byte) []byte { return b[1:] },
		"repeated": func(b []byte) []byte { return append([]byte("-ERR of another\r\n"), b...) },
	} {
		t.Run(name, func(t *testing.T) {
			address := serve(t, func(front net.Conn) {
				back, err := net.Dial("tcp", behind)
				if err != nil {
					t.Error(err)
					return
				}
				defer back.Close()
				go io.Copy(back, front)
				if _, err := io.CopyN(front, back, at); err != nil {
					return
				}
				b := make([]byte, 1)
				if _, err := io.ReadFull(back, b); err != nil {
					return
				}
				front.Write(spoil(b))
				io.Copy(front, back)
			})
			c := Redis{Address: address, Batches: 200, Seed: uint64(len(name)), Grace: time.Second}
			if err := c.Run(context.Background()).Err(); err == nil {
				t.Error("it was not seen")
			}
		})
	}
}

// TestRedisModel has the model say what it is told, so that each operation is
// there and none is empty.
func TestRedisModel(t *testing.T) {
	m := newRedisModel(rand.New(rand.NewPCG(1, 2)), "p:", 100)
	seen := map[string]int{}
	for range 5000 {
		b := m.batch(3)
		for _, c := range b.commands {
			fields := strings.SplitN(c, "\r\n", 4)
			seen[fields[2]]++
		}
	}
	for _, want := range strings.Fields("SET GET APPEND GETRANGE INCR INCRBY MGET LPUSH RPUSH LPOP LRANGE HSET HGETALL ZADD ZRANGE MULTI EXEC DISCARD DEL") {
		if seen[want] < 50 {
			t.Errorf("%d times %s: %v", seen[want], want, seen)
		}
	}
	if got := respBulks([]string{"a", ""}) + respInt(-7); got != "*2\r\n$1\r\na\r\n$0\r\n\r\n:-7\r\n" {
		t.Errorf("%q", got)
	}
}
