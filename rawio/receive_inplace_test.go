package rawio

import (
	"bytes"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/rawio/internal/tap"
)

// bulk is a client's stream, and where the client is in it.
type bulk struct {
	r      *rig
	stream []byte
	seq    uint32 // of its first byte
	ack    uint32
	at     int
}

// newBulk returns that of the rig's client.
func newBulk(r *rig) *bulk {
	_, l := r.serve()
	client, _ := r.connect(l)
	b := &bulk{r: r, stream: make([]byte, 1<<20), seq: client.Info().SndNxt, ack: client.Info().RcvNxt, at: 1}
	rnd := rand.New(rand.NewPCG(1, 2))
	for i := range b.stream {
		b.stream[i] = byte(rnd.Uint32())
	}
	r.says(client, b.stream[:1]) // its acknowledgment has the whole window
	return b
}

// segment has the tap see n bytes from an offset of the stream on.
func (b *bulk) segment(at, n int) {
	b.r.t.Helper()
	s := segment.Segment{
		Src: rigClient, Dst: rigServer, Seq: b.seq + uint32(at), Ack: b.ack, Flags: segment.ACK, Window: 500, Payload: b.stream[at : at+n],
	}
	p, err := s.Append(nil)
	if err != nil {
		b.r.t.Fatal(err)
	}
	b.r.tapped.queue = append(b.r.tapped.queue, p)
}

// next has it see the next n bytes, and the engine read them.
func (b *bulk) next(n int) {
	b.r.t.Helper()
	b.segment(b.at, n)
	b.at += n
	b.r.work()
}

// logged wants the log to have so much of the stream, and just that.
func (b *bulk) logged(n int) {
	b.r.t.Helper()
	got := make([]byte, n+1)
	id := b.r.conn().ID
	read := 0
	for read < n {
		m, err := b.r.cfg.Log.Read(id, got[read:], int64(read))
		if m == 0 || err != nil {
			break
		}
		read += m
	}
	if read != n || !bytes.Equal(got[:n], b.stream[:n]) {
		b.r.t.Errorf("the log has %d of %d bytes, or other ones", read, n)
	}
}

const large = 60 << 10

// TestBulkReceivedInPlace: the third large packet in a row is read where the log keeps it, and so are
// those that follow; the log has what the client has said.
func TestBulkReceivedInPlace(t *testing.T) {
	r := newRig(t, nil)
	r.protects()
	b := newBulk(r)
	for i := range 8 {
		b.next(large)
		if r.inPlace.predicts() != (i+1 >= inPlaceFrom) {
			t.Errorf("after %d packets a large one is expected: %v", i+1, r.inPlace.predicts())
		}
	}
	// Where the log has not enough room in one piece it lends none.
	if n := r.tapped.splits; n < (8-inPlaceFrom)/2 || n > 8-inPlaceFrom {
		t.Errorf("%d packets were read in place", n)
	}
	b.logged(1 + 8*large)
}

// TestBulkMispredicted: whatever comes in the place of the packet that is expected, the log has the
// client's stream; after some small ones none is expected any more.
func TestBulkMispredicted(t *testing.T) {
	for _, test := range []struct {
		name  string
		comes func(b *bulk)
		ends  bool
	}{
		{"a small one", func(b *bulk) { b.next(100) }, false},
		{"many small ones", func(b *bulk) {
			for range inPlaceMax - inPlaceFrom + 1 {
				b.next(100)
			}
		}, true},
		{"a repetition", func(b *bulk) { b.segment(b.at-large, large); b.r.work() }, false},
		{"an overlap", func(b *bulk) { b.segment(b.at-1000, large); b.at += large - 1000; b.r.work() }, false},
		{"the next but one", func(b *bulk) { b.segment(b.at+large, large); b.r.work(); b.next(large); b.at += large }, false},
		{"a broken one", func(b *bulk) {
			b.segment(b.at, large)
			q := b.r.tapped.queue
			q[len(q)-1][100] ^= 1
			b.r.work()
		}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRig(t, nil)
			r.protects()
			b := newBulk(r)
			for range inPlaceMax {
				b.next(large)
			}
			test.comes(b)
			if r.inPlace.predicts() == test.ends {
				t.Errorf("a large one is expected: %v", !test.ends)
			}
			b.next(large)
			b.next(large)
			b.logged(b.at)
		})
	}
}

// TestInPlaceLearns: what is expected is a packet like the large ones before, of their connection.
func TestInPlaceLearns(t *testing.T) {
	payload := make([]byte, 256<<10)
	of := func(client string, n int) *segment.Segment {
		return &segment.Segment{Src: netip.MustParseAddrPort(client), Dst: rigServer, Payload: payload[:n]}
	}
	const one, other = "192.0.2.1:1", "192.0.2.1:2"
	type step struct {
		client    string
		n, header int
		predicts  bool
	}
	for _, test := range []struct {
		name  string
		steps []step
	}{
		{"small ones", []step{{one, inPlaceMin - 1, 52, false}, {one, inPlaceMin - 1, 52, false}, {one, inPlaceMin - 1, 52, false}}},
		{"large ones", []step{{one, inPlaceMin, 52, false}, {one, inPlaceMin, 52, true}}},
		{"another connection's", []step{{one, large, 52, false}, {one, large, 52, true}, {other, large, 52, false}, {other, large, 52, true}}},
		{"headers too long", []step{{one, large, tap.MaxHeader + 1, false}, {one, large, tap.MaxHeader + 1, false}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRig(t, nil)
			l := newInPlace(r.cfg.Log)
			for i, s := range test.steps {
				if l.learn(of(s.client, s.n), s.header); l.predicts() != s.predicts {
					t.Errorf("step %d: a large one is expected: %v", i, !s.predicts)
				}
			}
		})
	}
	r := newRig(t, nil)
	l := newInPlace(r.cfg.Log)
	for range 2 {
		l.learn(of(one, 200<<10), 52) // BIG TCP
	}
	if l.learn(of(one, large), 72); l.room < 200<<10 || l.header != 72 {
		t.Errorf("room for %d bytes, behind %d", l.room, l.header)
	}
	l = newInPlace(newLaterLog(t)) // which lends nothing
	for range inPlaceMax {
		if l.learn(of(one, large), 52); l.predicts() {
			t.Error("expected in the memory of a log that has none to lend")
		}
	}
}
