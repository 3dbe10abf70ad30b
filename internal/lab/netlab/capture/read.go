package capture

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/netip"
	"os"
	"time"

	"github.com/ftnet/ftnet/internal/segment"
	"github.com/google/gopacket/pcapgo"
)

// Packet is one captured packet, from its IP header on.
type Packet struct {
	Number int // 1 for the first of the file, as packet viewers count
	Time   time.Time
	// Data has the packet's original length; bytes that the capture cut off
	// are zero.
	Data []byte
	// Kept is the number of bytes that were captured.
	Kept int
}

// Packets reads all packets of a pcapng file whose link type is raw IP, as
// Start writes them. It ends after the first error.
func Packets(path string) iter.Seq2[Packet, error] {
	return func(yield func(Packet, error) bool) {
		f, err := os.Open(path)
		if err != nil {
			yield(Packet{}, err)
			return
		}
		defer f.Close()
		r, err := pcapgo.NewNgReader(bufio.NewReaderSize(f, 1<<20), pcapgo.DefaultNgReaderOptions)
		if err != nil {
			yield(Packet{}, fmt.Errorf("%s: %w", path, err))
			return
		}
		for n := 1; ; n++ {
			data, info, err := r.ReadPacketData()
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				yield(Packet{}, fmt.Errorf("%s: packet %d: %w", path, n, err))
				return
			}
			kept := len(data)
			if kept < info.Length {
				data = append(make([]byte, 0, info.Length), data...)[:info.Length]
			}
			if !yield(Packet{n, info.Timestamp, data, kept}, nil) {
				return
			}
		}
	}
}

// Record is one captured TCP segment. Its payload may be kept; the part that
// the capture cut off reads as zeros.
type Record struct {
	Packet
	segment.Segment
}

// Segments reads the TCP segments that a host sent, in the order of the
// capture; the zero address means both directions. Other packets are passed
// over, and so are those of IPv6 between mapped IPv4 addresses, by which an engine proves
// that its gate is in the way; any other TCP packet that cannot be decoded is an error.
// Checksums are not verified: offloaded packets do not have them yet.
func Segments(path string, from netip.Addr) iter.Seq2[*Record, error] {
	return func(yield func(*Record, error) bool) {
		var d segment.Decoder
		for p, err := range Packets(path) {
			if err != nil {
				yield(nil, err)
				return
			}
			r := &Record{Packet: p}
			err = d.Decode(p.Data, segment.ChecksumTrusted, &r.Segment)
			if errors.Is(err, segment.ErrNotTCP) || errors.Is(err, segment.ErrMalformed) && mapped(p.Data) {
				continue
			}
			if err != nil {
				yield(nil, fmt.Errorf("%s: packet %d: %w", path, p.Number, err))
				return
			}
			if from.IsValid() && r.Src.Addr() != from {
				continue
			}
			if !yield(r, nil) {
				return
			}
		}
	}
}

// mapped reports whether an IPv6 packet's source is a mapped IPv4 address.
func mapped(packet []byte) bool {
	return len(packet) >= 40 && packet[0]>>4 == 6 && netip.AddrFrom16([16]byte(packet[8:24])).Is4In6()
}

// ICMPError is a captured ICMP or ICMPv6 "destination unreachable" message.
type ICMPError struct {
	Packet
	From netip.Addr
	Code uint8
}

// Unreachable reads the "destination unreachable" messages (ICMP type 3,
// ICMPv6 type 1) of a capture.
func Unreachable(path string) iter.Seq2[*ICMPError, error] {
	return func(yield func(*ICMPError, error) bool) {
		for p, err := range Packets(path) {
			if err != nil {
				yield(nil, err)
				return
			}
			if e := unreachable(p); e != nil && !yield(e, nil) {
				return
			}
		}
	}
}

func unreachable(p Packet) *ICMPError {
	const icmp, icmp6 = 1, 58
	b := p.Data
	switch {
	case len(b) >= 28 && b[0]>>4 == 4 && b[9] == icmp && binary.BigEndian.Uint16(b[6:])&0x1fff == 0:
		if h := int(b[0]&15) * 4; h+2 <= len(b) && b[h] == 3 {
			return &ICMPError{p, netip.AddrFrom4([4]byte(b[12:16])), b[h+1]}
		}
	case len(b) >= 48 && b[0]>>4 == 6 && b[6] == icmp6 && b[40] == 1:
		return &ICMPError{p, netip.AddrFrom16([16]byte(b[8:24])), b[41]}
	}
	return nil
}
