package south

import (
	"slices"
	"testing"

	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/logserver"
)

// exampleAgreed has all that can be agreed to; of the options some are left out.
func exampleAgreed() agreed {
	syn := segment.Segment{Seq: 0xfffffff0, Flags: agreedFlags | segment.PSH, Options: segment.Options{
		MSS: 1460, WScale: 7, HasWScale: true, SACKPermitted: true, HasTS: true, TSVal: 5, TSEcr: 6,
		NSACK: 1, SACK: [4]segment.Block{{Left: 1, Right: 2}}, FastOpen: true,
	}}
	synack := segment.Segment{Seq: 1, Flags: segment.SYN | segment.ACK, Options: segment.Options{MSS: 536}}
	return agreedBy(&syn, &synack)
}

func TestAgreed(t *testing.T) {
	for _, want := range []agreed{exampleAgreed(), {flags: segment.SYN}} {
		b := want.encode()
		if len(b) > maxAgreed || len(b) > logserver.MaxHandshake {
			t.Errorf("%d bytes", len(b))
		}
		got, err := decodeAgreed(b)
		if err != nil || got != want {
			t.Errorf("%+v became %+v, %v", want, got, err)
		}
		for n := range b {
			if _, err := decodeAgreed(b[:n]); err == nil {
				t.Errorf("the first %d of %d bytes are accepted", n, len(b))
			}
		}
	}
	a := exampleAgreed()
	for what, change := range map[string]func(b []byte) []byte{
		"a byte more":     func(b []byte) []byte { return append(b, 0) },
		"another version": func(b []byte) []byte { b[0]++; return b },
		"no SYN":          func(b []byte) []byte { b[9] &^= byte(segment.SYN); return b },
		"an RST":          func(b []byte) []byte { b[9] |= byte(segment.RST); return b },
		"long options":    func(b []byte) []byte { b[10] = maxOptionBytes + 1; return append(b, make([]byte, 100)...) },
	} {
		if _, err := decodeAgreed(change(slices.Clone(a.encode()))); err == nil {
			t.Errorf("%s is accepted", what)
		}
	}
	if syn, synack := a.segments(); syn.Seq != 0xfffffff0 || syn.Flags != agreedFlags || !syn.Options.HasTS || synack.Seq != 1 || synack.Options.MSS != 536 {
		t.Errorf("segments %+v, %+v", syn, synack)
	}
}

// FuzzAgreed: what is accepted is encoded to what is read as the same, and nothing makes the reader panic.
func FuzzAgreed(f *testing.F) {
	a := exampleAgreed()
	f.Add(a.encode())
	f.Add([]byte{1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 3, 1, 1, 5, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := decodeAgreed(b)
		if err != nil {
			return
		}
		if again, err := decodeAgreed(a.encode()); err != nil || again != a {
			t.Errorf("%+v became %+v, %v", a, again, err)
		}
	})
}
