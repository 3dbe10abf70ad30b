package remote_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/internal/remote"
	"github.com/ftnet/ftnet/logserver/logd"
	"github.com/ftnet/ftnet/logserver/logtest"
)

// known is a connection as it must be in the log.
type known struct {
	id       logserver.ConnID
	tag      uint64
	data     int64
	start    int64
	finished bool
	reads    []uint32
	stable   int64 // as told
	meta     bool  // told to be stable
	fin      bool
	gone     bool // deleted here

	handshake string
}

// chaos drives a log over a network that breaks, in front of a server that
// does.
type chaos struct {
	*lab
	rng   *rand.Rand
	log   *remote.Log
	store *lazy
	net   *flaky

	mu    sync.Mutex // guards what follows
	conns map[logserver.ConnID]*known
	live  []*known
	byTag map[uint64]*known
	lost  int
	full  int // calls that a quota has refused
	tags  uint64
}

// seconds is how long the random tests run, FTNET_CHAOS_SECONDS or a little.
func seconds() time.Duration {
	if n, err := strconv.Atoi(os.Getenv("FTNET_CHAOS_SECONDS")); err == nil {
		return time.Duration(n) * time.Second
	}
	return 3 * time.Second
}

func newChaos(t *testing.T, seed uint64, limits logtest.Limits) *chaos {
	c := &chaos{
		rng: rand.New(rand.NewPCG(seed, 1)), store: newLazy(t, limits),
		conns: map[logserver.ConnID]*known{}, byTag: map[uint64]*known{},
	}
	c.lab = startLab(t, &lab{TB: t, store: c.store, server: logd.Config{Insecure: true, MaxUnstable: 200_000}, client: remote.Config{
		Insecure: true, Buffer: 1 << 20, CloseTimeout: 20 * time.Second, Timeout: 20 * time.Second,
	}})
	c.net = &flaky{dial: c.dial, most: 40_000, rng: rand.New(rand.NewPCG(seed, 2))}
	c.client.Dial = c.net.connect
	c.client.MaxBackoff = 3 * time.Millisecond
	c.log = c.lab.open()
	c.log.SetUpcall(c.upcall)
	if err := c.log.RegisterService(0); err != nil {
		t.Fatal(err)
	}
	return c
}

// upcall checks that what is called stable is.
func (c *chaos) upcall(list []logserver.Upcall) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, stable := c.store.now()
	for _, u := range list {
		if u.Gone {
			c.lost++
			continue
		}
		k := c.byTag[u.Tag]
		if k == nil {
			c.Errorf("upcall for tag %d", u.Tag)
			continue
		}
		m, err := stable.Meta(u.ID)
		if err != nil {
			continue // deleted, or the server has crashed right now
		}
		_, end, err := stable.Length(u.ID)
		if err == nil && end < u.Stable || u.Fin && !m.Finished {
			c.Errorf("connection %x: %+v, but the store has %d, FIN %v", u.ID, u, end, m.Finished)
		}
		if u.Stable < k.stable || u.Stable > k.data {
			c.Errorf("connection %x: %d stable after %d, of %d", u.ID, u.Stable, k.stable, k.data)
		}
		k.stable = u.Stable
		k.meta = k.meta || u.Meta
		k.fin = k.fin || u.Fin
	}
}

// step makes one random call.
func (c *chaos) step() {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.rng
	if len(c.live) == 0 || len(c.live) < 20 && r.IntN(50) == 0 {
		c.openOne()
		return
	}
	k := c.live[r.IntN(len(c.live))]
	fail := func(what string, err error) {
		if errors.Is(err, logserver.ErrQuota) {
			c.full++
		} else if err != nil {
			c.Errorf("%s of connection %x: %v; %+v", what, k.id, err, *k)
		}
	}
	switch n := r.IntN(100); {
	case n < 60 && !k.finished:
		off := max(0, k.data-r.Int64N(50))
		p := logtest.Pattern(make([]byte, r.IntN(3000)), k.tag, off)
		n, err := c.log.Write(k.id, off, p)
		k.data = max(k.data, off+int64(n))
		fail("Write", err)
	case n < 75:
		lengths := make([]uint32, 1+r.IntN(3))
		for i := range lengths {
			lengths[i] = 1 + r.Uint32N(500)
		}
		err := c.log.WriteReads(k.id, lengths...)
		fail("WriteReads", err)
		if err == nil {
			k.reads = append(k.reads, lengths...)
		}
	case n < 85:
		_, end, err := c.log.Length(k.id)
		fail("Length", err)
		through := k.start + r.Int64N(end-k.start+1)
		fail("Rebase", c.log.Rebase(k.id, logserver.Base{In: through, Out: 2 * through, State: []byte("s")}))
		k.start = through
	case n < 88:
		fail("Finish", c.log.Finish(k.id, k.data))
		k.finished = true
	case n < 92:
		m := logtest.Example(int(k.tag))
		m.ID, m.Tag = k.id, k.tag
		m.Handshake = binary.BigEndian.AppendUint32(nil, r.Uint32())
		k.handshake = string(m.Handshake)
		fail("Update", c.log.Update(m))
	case n < 95:
		c.delete(k)
	}
}

func (c *chaos) delete(k *known) {
	if err := c.log.Delete(k.id); err != nil {
		c.Errorf("Delete of connection %x: %v", k.id, err)
	}
	k.gone = true
	c.live = slices.DeleteFunc(c.live, func(other *known) bool { return other == k })
}

func (c *chaos) openOne() {
	c.tags++
	m := logtest.Example(int(c.tags))
	m.Tag = c.tags
	k := &known{tag: m.Tag, handshake: string(m.Handshake)}
	c.byTag[k.tag] = k
	id, err := c.log.Open(m)
	if errors.Is(err, logserver.ErrQuota) {
		delete(c.byTag, k.tag)
		return
	}
	if err != nil {
		c.Errorf("Open: %v", err)
		return
	}
	if c.conns[id] != nil {
		c.Errorf("number %x is given out again", id)
	}
	k.id = id
	c.conns[id] = k
	c.live = append(c.live, k)
}

// settle waits until everything is stable, and compares.
func (c *chaos) settle() {
	c.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for _, k := range slices.Clone(c.live) {
		for began := time.Now(); ; {
			c.mu.Lock()
			done := k.stable == k.data && k.meta && k.fin == k.finished
			c.mu.Unlock()
			if _, stable := c.store.now(); done {
				m, err := stable.Meta(k.id)
				done = err == nil && string(m.Handshake) == k.handshake && c.recorded(stable, k)
			}
			if done {
				break
			}
			if c.store.limits.QuotaTotal > 0 && time.Since(began) > 2*time.Second {
				// More was taken than there is room for: others must end.
				c.delete(k)
				break
			}
			if time.Now().After(deadline) {
				c.Fatalf("not stable: %+v, status %v", *k, c.log.Status())
			}
			time.Sleep(time.Millisecond)
		}
	}
	metas, err := c.log.Active(0, 1e6)
	if err != nil {
		c.Fatal(err)
	}
	if len(metas) != len(c.live) || c.log.NumActive() != len(c.live) {
		c.Errorf("%d connections are active, NumActive is %d, want %d", len(metas), c.log.NumActive(), len(c.live))
	}
	for _, m := range metas {
		k := c.conns[m.ID]
		if k == nil || k.gone || m.Tag != k.tag || string(m.Handshake) != k.handshake || m.Finished != k.finished ||
			m.Base.In != k.start || m.Base.Out != 2*k.start {
			c.Errorf("Active tells %+v of %+v", m, k)
			continue
		}
		c.compare(k)
	}
}

// recorded reports whether a store has all reads of a connection.
func (c *chaos) recorded(in logserver.Log, k *known) bool {
	runs, err := in.Reads(k.id)
	if err != nil {
		c.Fatal(err)
	}
	end, want := k.start, k.start
	for _, r := range runs {
		end += int64(r.Length) * int64(r.Count)
	}
	for _, n := range visible(k.reads, k.start) {
		want += int64(n)
	}
	return end == want
}

func (c *chaos) compare(k *known) {
	c.Helper()
	start, end, err := c.log.Length(k.id)
	if err != nil || start != k.start || end != k.data {
		c.Errorf("connection %x: Length is %d..%d, %v, want %d..%d", k.id, start, end, err, k.start, k.data)
		return
	}
	got := make([]byte, k.data-k.start+1)
	n, err := c.log.Read(k.id, got, k.start)
	want := logtest.Pattern(make([]byte, k.data-k.start), k.tag, k.start)
	if err != nil || !bytes.Equal(got[:n], want) {
		c.Errorf("connection %x: Read returned %d bytes, %v, want %d, or others", k.id, n, err, len(want))
	}
	runs, err := c.log.Reads(k.id)
	if err != nil {
		c.Error(err)
	}
	var have []uint32
	for _, r := range runs {
		for range r.Count {
			have = append(have, r.Length)
		}
	}
	if wantReads := visible(k.reads, k.start); !slices.Equal(have, wantReads) {
		c.Errorf("connection %x from %d: reads are\n%v, want\n%v", k.id, k.start, have, wantReads)
	}
}

// visible are the reads from start on.
func visible(reads []uint32, start int64) (list []uint32) {
	at := int64(0)
	for _, n := range reads {
		end := at + int64(n)
		if end > start {
			list = append(list, uint32(end-max(at, start)))
		}
		at = end
	}
	return list
}

// flushing makes things stable now and then until the returned function is
// called.
func (c *chaos) flushing(seed uint64) (stop func()) {
	quit := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		rng := rand.New(rand.NewPCG(seed, 3))
		for {
			select {
			case <-quit:
				return
			case <-time.After(time.Duration(rng.IntN(3000)) * time.Microsecond):
				c.store.flush(1 + rng.IntN(300))
			}
		}
	})
	return func() { close(quit); wg.Wait() }
}

// limits leave little room in every third run.
func limits(seed uint64) logtest.Limits {
	if seed%3 != 2 {
		return logtest.Limits{}
	}
	return logtest.Limits{QuotaTotal: 120_000}
}

// TestCuts cuts the connection at random bytes thousands of times.
func TestCuts(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			c := newChaos(t, seed, limits(seed))
			stop := c.flushing(seed)
			defer stop()
			for end := time.Now().Add(seconds() / 2); time.Now().Before(end) && !t.Failed(); {
				for range 20 {
					c.step()
				}
				time.Sleep(time.Millisecond)
			}
			c.net.calm.Store(true)
			c.settle()
			t.Logf("%d cuts, %d connections, %d times full", c.net.cuts.Load(), c.tags, c.full)
			if err := c.log.Close(); err != nil {
				t.Error(err)
			}
			if c.lost > 0 {
				t.Errorf("%d connections were lost", c.lost)
			}
		})
	}
}

// TestCrashes cuts the connection and crashes the server, which forgets what
// was not stable.
func TestCrashes(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			c := newChaos(t, seed, limits(seed))
			c.net.most = 400_000
			crashes := 0
			for end := time.Now().Add(seconds()); time.Now().Before(end) && !t.Failed(); crashes++ {
				stop := c.flushing(seed + uint64(crashes)<<8)
				for range 20 {
					for range 20 {
						c.step()
					}
					time.Sleep(time.Millisecond)
				}
				if c.rng.IntN(4) == 0 {
					c.settle()
				}
				stop()
				c.stop()
				c.store.crash()
				for range c.rng.IntN(50) {
					c.step()
				}
				c.start()
			}
			c.net.calm.Store(true)
			stop := c.flushing(1)
			c.settle()
			if err := c.log.Close(); err != nil {
				t.Error(err)
			}
			stop()
			t.Logf("%d cuts, %d crashes, %d connections, %d times full", c.net.cuts.Load(), crashes, c.tags, c.full)
			if c.lost > 0 {
				t.Errorf("%d connections were lost", c.lost)
			}
		})
	}
}
