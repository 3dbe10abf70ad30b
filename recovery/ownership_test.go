package recovery

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/ftnet/ftnet/internal/ownership"
	"github.com/ftnet/ftnet/internal/ownership/ownershiptest"
	"github.com/ftnet/ftnet/internal/status"
	"github.com/ftnet/ftnet/internal/supervisor"
	"github.com/ftnet/ftnet/rawio"
	"github.com/ftnet/ftnet/recovery/internal/predecessor"
)

// guarded is an engine that notes what it is told, and whether the server process lived then.
type guarded struct {
	engine
	told
	lives func() bool
}

func (e *guarded) Crash(ports ...uint16)         { e.told.Crash(ports...) }
func (e *guarded) Succeed(ports ...uint16)       { e.told.Succeed(ports...) }
func (e *guarded) Release(port uint16)           { e.told.Release(port) }
func (e *guarded) Protect(s rawio.Service) error { e.note("protect %d", s.Port); return nil }
func (e *guarded) Unprotect(port uint16) error   { e.note("unprotect %d", port); return nil }
func (e *guarded) Listening(port uint16) int     { e.note("listening %d", port); return 0 }
func (e *guarded) AbortAll(port uint16, _ string) {
	e.note("abort %d", port)
}

func (e *guarded) Drain(context.Context, ...uint16) error { e.note("drain"); return nil }

func (e *guarded) TakeOver(context.Context, rawio.Heir, func(uint16) error) error { return nil }

func (e *guarded) Fence(ports ...uint16) int {
	e.note("fence %v, process lives: %v", ports, e.lives())
	return 3
}

// TestClaimLost: a service whose claim is lost while it serves ends in the order that package
// ownership tells: the engine fences its ports while the process still runs, one line says so, the
// process ends, and nothing is released, reset or given up before the service is removed. It is not
// started again.
func TestClaimLost(t *testing.T) {
	const port = 17001
	web := ownership.Service{Name: "web", Port: port}
	release, err := supervisor.Adopt()
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	e := &guarded{}
	owners := &ownershiptest.Fake{Note: func(what string, epoch uint64) { e.note("%s %d", what, epoch) }, Next: 6}
	book := &logbook{more: make(chan struct{})}
	cfg := HostConfig{Unmodified: true}
	cfg.RuntimeDir, cfg.MaxConnections = t.TempDir(), 8
	h := &Host{cfg: cfg, log: hclog.New(&hclog.LoggerOptions{Output: book}),
		engine: e, ownership: owners, byPort: map[uint16]*Service{}}
	h.ctx, h.cancel = context.WithCancel(t.Context())
	h.starting, h.giveUp = context.WithCancel(h.ctx)
	if h.home, err = here(); err != nil {
		t.Fatal(err)
	}
	if h.before, err = predecessor.Find(predecessor.Config{RuntimeDir: h.cfg.RuntimeDir, Logger: h.log}); err != nil {
		t.Fatal(err)
	}
	h.onClose(h.before.Close)
	defer func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	}()
	s, err := h.Add(server("web", "plain 127.0.0.1:17001", "127.0.0.1:17001"), Inherit{})
	if err != nil {
		t.Fatal(err)
	}
	e.lives = func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return lives(s.process.supervised)
	}
	done := make(chan error)
	go func() { done <- s.Run(t.Context()) }()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := s.Await(ctx); err != nil {
		t.Fatal(err)
	}
	owners.Lose(web, "host b has it")
	lost := (*OwnershipError)(nil)
	if err := <-done; !errors.As(err, &lost) || !errors.Is(err, ownership.ErrLost) {
		t.Errorf("Run returned %v", err)
	}
	want := []string{"claim 7", "protect 17001", "listening 17001", "lose 7", "fence [17001], process lives: true"}
	if !slices.Equal(e.calls, want) {
		t.Errorf("what happened: %q, want %q", e.calls, want)
	}
	if e.lives() {
		t.Error("the process lives")
	}
	if lines := book.String(); strings.Count(lines, "host b has it") != 1 || !strings.Contains(lines, "connections=3 epoch=7") {
		t.Errorf("it is not said once:\n%s", lines)
	}
	if _, ports := s.status(map[uint16]int{}); ports[port].State != status.ServiceFenced {
		t.Errorf("the port's status is %v", ports[port].State)
	}
	if held := owners.Held(); !slices.Equal(held, []ownership.Service{web}) {
		t.Errorf("held: %v", held)
	}
	if err := s.Run(t.Context()); !errors.Is(err, ownership.ErrLost) {
		t.Errorf("Run again returned %v", err)
	}
	if err := s.Remove(); err != nil {
		t.Error(err)
	}
	if want = append(want, "unprotect 17001", "release 7"); !slices.Equal(e.calls, want) {
		t.Errorf("what happened: %q, want %q", e.calls, want)
	}
}

// fencing is a log that several engines may have.
type fencing map[string]chan struct{}

func (f fencing) Fenced(service string) <-chan struct{} { return f[service] }

// TestFenceTellsLoss: the log's fence is a second source of the same channel.
func TestFenceTellsLoss(t *testing.T) {
	log := fencing{"web": make(chan struct{}), "other": make(chan struct{})}
	host := &ownershiptest.Fake{}
	both := ownership.All(host, fence{log})
	web, other := ownership.Service{Name: "web", Port: 1}, ownership.Service{Name: "other", Port: 2}
	var claims []ownership.Claim
	for _, s := range []ownership.Service{web, other} {
		c, err := both.Claim(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		claims = append(claims, c)
	}
	close(log["web"])
	<-claims[0].Lost()
	if err := claims[0].Err(); !errors.Is(err, ownership.ErrLost) || claims[0].Epoch() != 1 {
		t.Errorf("epoch %d was lost: %v", claims[0].Epoch(), err)
	}
	if err := claims[1].Err(); err != nil {
		t.Errorf("the other one is lost, too: %v", err)
	}
	for _, c := range claims {
		if err := c.Release(); err != nil {
			t.Error(err)
		}
	}
}
