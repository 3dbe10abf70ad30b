package segment

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// part is a fragment of a packet's data, in bytes.
type part struct{ from, to int }

// split cuts a packet without extension headers into fragments at these places of
// what follows its IP header: multiples of 8. The last part says that it is the last.
func split(p []byte, id uint16, cuts ...int) [][]byte {
	header := 20
	if p[0]>>4 == 6 {
		header = 40
	}
	end := len(p) - header
	var out [][]byte
	for i, from := range append([]int{0}, cuts...) {
		to := end
		if i < len(cuts) {
			to = cuts[i]
		}
		out = append(out, fragmentOf(p, id, part{from, to}, to < end))
	}
	return out
}

func fragmentOf(p []byte, id uint16, at part, more bool) []byte {
	header := 20
	if p[0]>>4 == 6 {
		header = 40
	}
	f := slices.Clone(p[:header])
	field := uint16(at.from / 8)
	if p[0]>>4 == 4 {
		if more {
			field |= 0x2000
		}
		binary.BigEndian.PutUint16(f[6:], field)
		binary.BigEndian.PutUint16(f[4:], id)
		binary.BigEndian.PutUint16(f[2:], uint16(20+at.to-at.from))
		refresh4(f)
	} else {
		field <<= 3
		if more {
			field |= 1
		}
		binary.BigEndian.PutUint16(f[4:], uint16(8+at.to-at.from))
		f[6] = nextFragment
		f = append(f, protoTCP, 0)
		f = binary.BigEndian.AppendUint16(f, field)
		f = binary.BigEndian.AppendUint32(f, uint32(id))
	}
	return append(f, p[header+at.from:header+at.to]...)
}

func both(t *testing.T, payload []byte, f func(t *testing.T, whole []byte)) {
	t.Run("IPv4", func(t *testing.T) {
		f(t, mustAppend(t, &Segment{Src: client4, Dst: server4, Seq: 1, Ack: 2, Flags: ACK, Payload: payload}))
	})
	t.Run("IPv6", func(t *testing.T) {
		f(t, mustAppend(t, &Segment{Src: client6, Dst: server6, Seq: 1, Ack: 2, Flags: ACK, Payload: payload}))
	})
}

// TestReassemble: in any order, with any of them twice, the datagram is there with
// the last part that lacked, once, and nothing of it is left.
func TestReassemble(t *testing.T) {
	payload := make([]byte, 3000)
	for i := range payload {
		payload[i] = byte(i * 7)
	}
	both(t, payload, func(t *testing.T, whole []byte) {
		rapid.Check(t, func(t *rapid.T) {
			cuts := rapid.SliceOfNDistinct(rapid.Map(rapid.IntRange(1, 370), func(n int) int { return 8 * n }), 1, 12, rapid.ID).Draw(t, "cuts")
			slices.Sort(cuts)
			parts := split(whole, 77, cuts...)
			sent := rapid.Permutation(parts).Draw(t, "order")
			var r Reassembler
			for i, f := range sent {
				got := r.Add(f, 1, 5)
				if last := i == len(sent)-1; last != (got != nil) {
					t.Fatalf("part %d of %d: whole %v", i+1, len(sent), got != nil)
				} else if last && !bytes.Equal(clearID(got), clearID(whole)) {
					t.Fatal("the whole is another packet")
				} else if !last && rapid.Bool().Draw(t, "again") && r.Add(sent[rapid.IntRange(0, i).Draw(t, "which")], 1, 5) != nil {
					t.Fatal("a part that was there already makes it whole")
				}
			}
			if r.bytes != 0 || len(r.byKey) != 0 || len(r.queue) != 0 {
				t.Fatalf("%d bytes, %d datagrams, queue of %d are left", r.bytes, len(r.byKey), len(r.queue))
			}
		})
	})
}

// clearID takes out what fragments have and a whole packet need not.
func clearID(p []byte) []byte {
	p = slices.Clone(p)
	if p[0]>>4 == 4 {
		p[4], p[5], p[6] = 0, 0, 0
		refresh4(p)
	}
	return p
}

// TestReassembleHostile: nobody can put other bytes in place of those that are there.
func TestReassembleHostile(t *testing.T) {
	both(t, make([]byte, 200), func(t *testing.T, whole []byte) {
		evil := slices.Clone(whole)
		for i := range evil[60:] {
			evil[60+i] = 0xee
		}
		end := len(whole) - 20
		if whole[0]>>4 == 6 {
			end -= 20
		}
		more := func(p []byte, from, to int) []byte { return fragmentOf(p, 1, part{from, to}, true) }
		last := func(p []byte, from, to int) []byte { return fragmentOf(p, 1, part{from, to}, false) }
		for _, tt := range []struct {
			name  string
			parts [][]byte
			whole bool
		}{
			{"in order", [][]byte{more(whole, 0, 64), last(whole, 64, end)}, true},
			{"the same place again", [][]byte{more(whole, 0, 64), more(evil, 0, 64), last(whole, 64, end)}, true},
			{"inside of what is there", [][]byte{more(whole, 0, 64), more(evil, 32, 64), last(whole, 64, end)}, true},
			{"over the end of what is there", [][]byte{more(whole, 0, 64), more(evil, 56, 80), last(whole, 64, end)}, false},
			{"over the beginning of what is there", [][]byte{last(whole, 64, end), more(evil, 0, 72), more(whole, 0, 64)}, false},
			{"around what is there", [][]byte{more(whole, 32, 64), more(evil, 0, 128), more(whole, 0, 32), last(whole, 64, end)}, false},
			{"over two runs", [][]byte{last(whole, 64, end), more(whole, 32, 64), more(evil, 56, 72), more(whole, 0, 32)}, false},
			{"data beyond the end", [][]byte{last(whole, 64, 128), more(evil, 128, 136), more(whole, 0, 64)}, false},
			{"an end before data", [][]byte{more(evil, 128, 136), last(whole, 64, 128), more(whole, 0, 64)}, false},
			{"two ends", [][]byte{last(whole, 64, end), last(whole, 64, end-8), more(whole, 0, 64)}, false},
			{"no data", [][]byte{more(whole, 0, 0), more(whole, 0, 64), last(whole, 64, end)}, true},
			{"another device", [][]byte{more(whole, 0, 64)}, false},
		} {
			var r Reassembler
			r.Add(last(whole, 64, end), 2, 5)
			var got []byte
			for _, p := range tt.parts {
				if q := r.Add(p, 1, 5); q != nil {
					got = q
				}
			}
			if (got != nil) != tt.whole || got != nil && !bytes.Equal(clearID(got), clearID(whole)) {
				t.Errorf("%s: %x", tt.name, got)
			}
		}
	})
}

// TestReassembleBounds: what never becomes whole is forgotten, by time and by size.
func TestReassembleBounds(t *testing.T) {
	whole := mustAppend(t, &Segment{Src: client4, Dst: server4, Flags: ACK, Payload: make([]byte, 60000)})
	var r Reassembler
	for id := range 1000 {
		if r.Add(fragmentOf(whole, uint16(id), part{0, 50000}, true), 1, int64(id)) != nil || r.bytes > maxFragments {
			t.Fatalf("datagram %d: %d bytes", id, r.bytes)
		}
	}
	if n := len(r.byKey); n < maxFragments/50000/2 {
		t.Errorf("only %d are kept", n)
	}
	tail := func(id uint16) []byte { return fragmentOf(whole, id, part{50000, len(whole) - 20}, false) }
	if r.Add(tail(999), 1, 1000) == nil {
		t.Error("the newest one is forgotten")
	}
	if r.Add(tail(998), 1, fragmentLife+1000) != nil || len(r.byKey) != 1 {
		t.Errorf("%d are kept for too long", len(r.byKey))
	}
	for at := range 30000 { // the smallest fragments
		r.Add(fragmentOf(whole, uint16(at/7000), part{8 * (at % 7000), 8*(at%7000) + 8}, true), 1, fragmentLife+2000)
		if r.bytes > maxFragments {
			t.Fatalf("%d bytes", r.bytes)
		}
	}
}

// FuzzReassemble cuts the input into packets: none may harm it, and what it returns
// is no fragment.
func FuzzReassemble(f *testing.F) {
	for _, s := range []Segment{{Src: client4, Dst: server4, Payload: make([]byte, 100)}, {Src: client6, Dst: server6, Payload: make([]byte, 100)}} {
		for _, p := range split(mustAppend(f, &s), 3, 40, 64) {
			f.Add(append(binary.BigEndian.AppendUint16(nil, uint16(len(p))), p...))
		}
		var all []byte
		for _, p := range split(mustAppend(f, &s), 3, 40, 64) {
			all = append(binary.BigEndian.AppendUint16(all, uint16(len(p))), p...)
		}
		f.Add(all)
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		var r Reassembler
		var d Decoder
		for now := int64(0); len(input) >= 2; now += fragmentLife / 4 {
			n := min(int(binary.BigEndian.Uint16(input)), len(input)-2)
			p := input[2:][:n]
			input = input[2+n:]
			if p = r.Add(p, 1, now); p == nil {
				continue
			}
			if err := d.Decode(p, ChecksumTrusted, new(Segment)); err == ErrFragment && p[0]>>4 == 4 || err == ErrTruncated {
				t.Fatalf("%x: %v", p, err)
			}
		}
		sum := 0
		for _, d := range r.byKey {
			sum += d.cost
		}
		if sum != r.bytes {
			t.Fatalf("%d bytes are kept, %d counted", sum, r.bytes)
		}
	})
}
