package oplog

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
)

// text is a writer that fails or blocks as long as it is told to.
type text struct {
	mu   sync.Mutex
	b    bytes.Buffer
	err  error
	gate chan struct{} // not nil: Write waits for it
}

func (x *text) Write(p []byte) (int, error) {
	if x.gate != nil {
		<-x.gate
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.err != nil {
		return 0, x.err
	}
	return x.b.Write(p)
}

func (x *text) fail(err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.err = err
}

// lines returns what was written, without times.
func (x *text) lines() []string {
	x.mu.Lock()
	defer x.mu.Unlock()
	var list []string
	for line := range strings.Lines(x.b.String()) {
		_, line, _ = strings.Cut(strings.TrimSpace(line), " ")
		list = append(list, line)
	}
	return list
}

func (x *text) count(part string) (n int) {
	for _, line := range x.lines() {
		if strings.Contains(line, part) {
			n++
		}
	}
	return n
}

// TestFlood: the first lines of a kind pass, others are counted, other kinds pass.
func TestFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var x text
		l := newLog("ftnet", hclog.Info, &x)
		engine := l.Named("engine")
		for i := range 100_000 {
			engine.Warn("connection is not protected", "connection", fmt.Sprint("10.0.0.1:", i), "reason", fmt.Sprintf("all %d slots are in use", i))
			if i == 50_000 {
				engine.Warn("connection is not protected", "connection", "10.0.0.1:1", "reason", "TCP-MD5")
				engine.Error("packet not sent", "error", errors.New("network is unreachable"))
				engine.With("service", "web").Warn("packet not sent", "error", errors.New("network is unreachable"))
			}
		}
		synctest.Wait()
		if n := x.count("slots are in use"); n != burst {
			t.Errorf("%d lines of a flood", n)
		}
		for _, want := range []string{"TCP-MD5", "[ERROR] ftnet.engine: packet not sent", "[WARN]  ftnet.engine: packet not sent: service=web"} {
			if x.count(want) != 1 {
				t.Errorf("not said once: %s", want)
			}
		}
		if x.count("left out") != 0 {
			t.Error("told too soon")
		}
		time.Sleep(interval + time.Second)
		synctest.Wait()
		if n := x.count(fmt.Sprintf(`lines left out: message="connection is not protected" lines=%d`, 100_000-burst)); n != 1 {
			t.Errorf("the end of a flood is told %d times:\n%s", n, strings.Join(x.lines(), "\n"))
		}
		l.Close()
	})
}

// TestFloodLasts: what goes on is told from time to time, with all that was left out.
func TestFloodLasts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var x text
		l := newLog("ftnet", hclog.Info, &x)
		const n = 6000
		for i := range n { // ten minutes
			l.Warn("packet not sent", "error", fmt.Errorf("port %d", i))
			time.Sleep(100 * time.Millisecond)
		}
		l.Close()
		synctest.Wait()
		lines := x.lines()
		if most := burst + int(n*100*time.Millisecond/interval) + 2; len(lines) > most || len(lines) < burst+30 {
			t.Errorf("%d lines in ten minutes, want at most %d", len(lines), most)
		}
		said := 0
		for _, line := range lines {
			var out int
			if i := strings.Index(line, "left_out="); i >= 0 {
				fmt.Sscanf(line[i:], "left_out=%d", &out)
				said++
			} else if i := strings.Index(line, "lines="); i >= 0 {
				fmt.Sscanf(line[i:], "lines=%d", &out)
			} else {
				said++
			}
			said += out
		}
		if said != n {
			t.Errorf("%d lines are accounted for, want %d", said, n)
		}
	})
}

// TestRare: what is said now and then is always said.
func TestRare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var x text
		l := newLog("ftnet", hclog.Info, &x)
		for range 200 {
			l.Info("service recovered", "port", 1)
			time.Sleep(interval)
		}
		for range 200 {
			l.Debug("not asked for")
		}
		l.SetLevel(hclog.Debug)
		for range 200 {
			l.Debug("asked for")
		}
		l.SetLevel(hclog.Off)
		l.Error("off")
		l.Close()
		if a, b, all := x.count("service recovered: port=1"), x.count("asked for"), len(x.lines()); a != 200 || b != 200 || all != 400 {
			t.Error(a, b, all)
		}
	})
}

// TestManyKinds: reasons that somebody else can choose do not fill the memory.
func TestManyKinds(t *testing.T) {
	l := newLog("ftnet", hclog.Info, io.Discard)
	defer l.Close()
	for i := range 10 * maxKinds {
		l.Warn("refused", "error", strings.Map(func(r rune) rune { return r - '0' + 'a' }, fmt.Sprint(i)))
	}
	if n := len(l.limit.kinds); n > maxKinds+1 {
		t.Errorf("%d kinds are remembered", n)
	}
}

// TestReaderGone: lines that cannot be written are counted, and told when they can
// be again.
func TestReaderGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var x text
		l := newLog("ftnet", hclog.Info, &x)
		x.fail(syscall.EPIPE)
		for i := range 7 {
			l.Warn("nobody reads", "reason", strings.Repeat("x", i))
		}
		synctest.Wait()
		if l.Lost() != 7 {
			t.Errorf("%d lines are lost", l.Lost())
		}
		x.fail(nil)
		l.Warn("read again")
		l.Warn("and again")
		l.Close()
		want := []string{"[WARN]  ftnet: read again", "[WARN]  ftnet: lines of this log were lost: who reads it was gone or too slow: lines=7", "[WARN]  ftnet: and again"}
		if got := x.lines(); strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("%q", got)
		}
	})
}

// TestReaderStuck: nobody waits for a reader that does not read, Close not for long.
func TestReaderStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := text{gate: make(chan struct{})}
		l := newLog("ftnet", hclog.Debug, &x)
		begin := time.Now()
		for range 4 {
			l.Debug(strings.Repeat("x", queueBytes/3)) // three fit
		}
		if l.Lost() != 2 || time.Since(begin) != 0 { // a line's head is more than a byte
			t.Errorf("%d lines lost after %v", l.Lost(), time.Since(begin))
		}
		l.Close()
		if took := time.Since(begin); took != lastWords {
			t.Errorf("Close took %v", took)
		}
		close(x.gate)
		synctest.Wait()
		if n := x.count("xxx"); n != 2 {
			t.Errorf("%d lines came late", n)
		}
	})
}
