package segment

import (
	"fmt"
	"testing"
)

func benchSegment(v6 bool, size int) *Segment {
	s := &Segment{Src: client4, Dst: server4, Seq: 1, Ack: 2, Flags: PSH | ACK, Window: 512,
		Options: Options{HasTS: true, TSVal: 3, TSEcr: 4, NSACK: 3, SACK: [4]Block{{1, 2}, {3, 4}, {5, 6}}},
		Payload: make([]byte, size)}
	if v6 {
		s.Src, s.Dst = client6, server6
	}
	return s
}

func TestNoAllocations(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		s := benchSegment(v6, 1000)
		packet := mustAppend(t, s)
		if v6 {
			packet = withExtensions(packet, []byte{0, 60}, 1, 4)
		}
		bad := append([]byte(nil), packet...)
		bad[len(bad)-1]++
		var d Decoder
		var got Segment
		if n := testing.AllocsPerRun(100, func() {
			if err := d.Decode(packet, ChecksumVerify, &got); err != nil {
				t.Fatal(err)
			}
			if d.Decode(bad, ChecksumVerify, &got) != ErrChecksum || d.Decode(packet[:30], ChecksumVerify, &got) != ErrTruncated {
				t.Fatal("a bad packet was accepted")
			}
		}); n != 0 {
			t.Errorf("v6 %v: Decode allocates %v times", v6, n)
		}
		buf := make([]byte, 0, 2000)
		if n := testing.AllocsPerRun(100, func() {
			if _, err := s.Append(buf); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("v6 %v: Append allocates %v times", v6, n)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, size := range []int{0, 1448, 65000} {
		packet := mustAppend(b, benchSegment(false, size))
		for name, c := range map[string]Checksum{"verify": ChecksumVerify, "trusted": ChecksumTrusted} {
			b.Run(fmt.Sprintf("%d/%s", size, name), func(b *testing.B) {
				var d Decoder
				var s Segment
				b.ReportAllocs()
				b.SetBytes(int64(len(packet)))
				for b.Loop() {
					if err := d.Decode(packet, c, &s); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{0, 1448} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			s := benchSegment(false, size)
			buf := make([]byte, 0, 2000)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Append(buf); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
