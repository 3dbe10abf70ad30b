//go:build linux

package ftnet

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

const childEnv = "FTNET_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		killedServer()
	}
	if os.Getenv(engineEnv) != "" {
		runKilledEngine()
	}
	// A link to an engine lasts as long as the process, by design; each ends
	// with the engine of its test.
	goleak.VerifyTestMain(m)
}

// killedServer is the process that TestKillReplay kills: a line-based server
// whose replies depend on all lines before, and are of many lengths.
func killedServer() {
	slog.SetDefault(slog.New(slog.DiscardHandler))
	ln, err := Listen("tcp4", os.Getenv(childEnv))
	if err != nil {
		fmt.Println("FAIL", err)
		os.Exit(1)
	}
	fmt.Println(ln.Addr())
	for {
		c, err := ln.Accept()
		if err != nil {
			os.Exit(1)
		}
		if os.Getenv(tickEnv) != "" {
			go tick(c)
			continue
		}
		go func() {
			defer c.Close()
			in := bufio.NewReader(c)
			for state := 0; ; {
				line, err := in.ReadString('\n')
				if err != nil {
					return
				}
				var reply string
				state, reply = answer(state, line)
				if _, err := io.WriteString(c, reply); err != nil {
					return
				}
			}
		}()
	}
}

func answer(state int, line string) (int, string) {
	for _, b := range []byte(line) {
		state = (state*31 + int(b)) & 0xffffff
	}
	return state, strings.Repeat(fmt.Sprintf("%06x.", state), 1+state%400) + "\n"
}

// killed returns a function that starts killedServer, with more of an environment. The address is
// the same for all of its processes.
func killed(t *testing.T, env ...string) (start func() (*exec.Cmd, net.Addr)) {
	t.Helper()
	probe, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := probe.Addr().String()
	probe.Close()
	return func() (*exec.Cmd, net.Addr) {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(append(os.Environ(), childEnv+"="+address), env...)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { end(cmd) }) // also after a failure
		line, _ := bufio.NewReader(out).ReadString('\n')
		addr, err := net.ResolveTCPAddr("tcp4", strings.TrimSpace(line))
		if err != nil {
			t.Fatalf("server says %q", line)
		}
		return cmd, addr
	}
}

// TestKillReplay kills a server process again and again while it answers, at
// random moments, and reconnects its client as an engine does: every byte of
// the replies is right. The numbers that the engine would know are chosen at
// random as far as they can vary.
func TestKillReplay(t *testing.T) {
	l := newLab(t)
	start := killed(t)

	rng := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
	var want []byte // replies to all that was sent
	state, line := 0, 0
	cmd, addr := start()
	cl := l.dial(addr)
	received := 0 // bytes of want that the client has
	rounds := 25
	if testing.Short() {
		rounds = 5
	}
	for round := range rounds {
		// The client sends some lines and reads what comes, until the kill.
		var batch strings.Builder
		for range 1 + rng.IntN(40) {
			text := fmt.Sprintf("line %d %s\n", line, strings.Repeat("-", rng.IntN(200)))
			line++
			batch.WriteString(text)
			var reply string
			state, reply = answer(state, text)
			want = append(want, reply...)
		}
		var wg sync.WaitGroup
		wg.Go(func() { cl.send(batch.String()) })
		if rng.IntN(4) > 0 {
			need := rng.IntN(len(want) - received + 1)
			received += check(t, cl, want[received:], need)
		}
		wg.Wait()
		cmd.Process.Kill()
		cmd.Wait()
		// What had left arrives; the engine has seen it.
		left := received + check(t, cl, want[received:], -1)
		una := rng.IntN(left + 1)
		stable := rng.IntN(len(l.logs[cl.slot]) + 1)
		if h, _ := l.j.Head(cl.slot); h.Overflow {
			t.Fatalf("round %d: %+v", round, h)
		}
		l.j.Sweep()
		cmd, _ = start()
		cl = cl.recover(int64(una), int64(left), int64(stable))
		received = una // the rest comes once more
	}
	check(t, cl, want[received:], len(want)-received)
	cl.Close()
	cmd.Process.Kill()
	cmd.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.mismatches) != 0 {
		t.Errorf("mismatches: %+v", l.mismatches)
	}
}

// check reads need bytes, or all there are if need is negative, and compares
// them with want.
func check(t *testing.T, cl *client, want []byte, need int) (n int) {
	t.Helper()
	buf := make([]byte, 32<<10)
	cl.SetReadDeadline(time.Now().Add(20 * time.Second))
	for need < 0 || n < need {
		part := buf
		if need >= 0 {
			part = buf[:min(len(buf), need-n)]
		}
		k, err := cl.Read(part)
		if k > len(want)-n || string(part[:k]) != string(want[n:n+k]) {
			t.Fatalf("the client got something else at offset %d", n)
		}
		n += k
		if err != nil {
			if need >= 0 {
				t.Fatalf("client: %v after %d of %d bytes", err, n, need)
			}
			return n
		}
	}
	return n
}
