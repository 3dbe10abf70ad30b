package e2e

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/ftnet/ftnet/internal/lab/testenv"
	"github.com/ftnet/ftnet/internal/lab/workload"
	"github.com/ftnet/ftnet/internal/status"
)

// redisEntry is the service of a redis-server that keeps nothing on disk.
func redisEntry(t testing.TB, more ...string) string {
	t.Helper()
	testenv.RequireTool(t, "redis-server")
	return serviceEntry("redis", "unmodified", 6379, []string{program(t, "redis-server"), "--port", "6379",
		"--bind", "*", "-::*", "--protected-mode", "no", "--save", "", "--appendonly", "no", "--dir", publicDir(t)}, more)
}

// killService sends the main process of a service SIGKILL, and returns its
// number.
func (s *served) killService(name string, last int) (pid int) {
	s.t.Helper()
	s.waitStatus("the service "+name+" runs again", func(d *status.Document) bool {
		p := programStatus(d, name)
		pid = p.Process.PID
		return pid != 0 && pid != last && p.Process.State == status.ProcessRunning
	})
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		s.t.Fatal(err)
	}
	return pid
}

// ready waits until a service runs as another process than the last one and
// all connections that it had are live.
func (s *served) ready(name string, last int) *status.Document {
	s.t.Helper()
	return s.waitStatus("the service "+name+" has recovered", func(d *status.Document) bool {
		p := programStatus(d, name)
		return p.Process.PID != last && p.Process.State == status.ProcessRunning && p.Ready
	})
}

func programStatus(d *status.Document, name string) (found status.Program) {
	for _, p := range d.Programs {
		if p.Name == name {
			found = p
		}
	}
	return found
}

// TestRedisSurvivesKills: 50 connections check every reply of a Redis server
// that is killed ten times and keeps nothing but what its clients say again.
func TestRedisSurvivesKills(t *testing.T) {
	for _, f := range families[:2] {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, nil, redisEntry(t))
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			var (
				wg             sync.WaitGroup
				replies, short atomic.Int64
				steady         = workload.Redis{Address: f.address(6379), Conns: 50, Seed: 1, Dial: f.dial(s.rig)}
				dialled        = workload.Redis{Address: f.address(6379), Conns: 2, Batches: 4, Redials: -1, Seed: 2}
				report, second *workload.Report
				pid            int
			)
			steady.Replied = func(commands int) { replies.Add(int64(commands)) }
			dialled.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
				short.Add(1)
				return f.dial(s.rig)(ctx, network, address)
			}
			wg.Go(func() { report = steady.Run(ctx) })
			wg.Go(func() { second = dialled.Run(ctx) })
			for range 10 {
				pause(250 * time.Millisecond)
				pid = s.killService("redis", pid)
			}
			d := s.ready("redis", pid)
			s.until("the clients have done enough", func() bool { return replies.Load() >= 10000 && short.Load() >= 12 })
			cancel()
			wg.Wait()
			for name, r := range map[string]*workload.Report{"steady": report, "dialled": second} {
				if err := r.Err(); err != nil {
					t.Errorf("%s clients: %v", name, err)
				}
				t.Logf("%s: %d connections, %d replies, %d bytes, longest pause %v", name, r.Conns, r.Lines, r.Bytes, r.LongestPause)
			}
			if p := programStatus(d, "redis"); p.Process.Restarts != 10 {
				t.Errorf("%+v", p.Process)
			}
		})
	}
}
