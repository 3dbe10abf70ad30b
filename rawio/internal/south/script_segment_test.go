package south_test

import (
	"strings"

	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/rawio/internal/gate"
)

// packet parses a segment. seq and ack are added to the numbers.
func (s *script) packet(w []string, seq, ack uint32) (g segment.Segment, prio uint32) {
	g.Window = 500
	for _, f := range w[0] {
		i := strings.IndexRune("FSRPAUEWe", f)
		if i < 0 {
			s.t.Fatalf("flags %q", w[0])
		}
		g.Flags |= 1 << i
	}
	syn := g.Flags.Has(segment.SYN)
	g.Seq, g.Ack = seq+1, ack+1
	if syn {
		g.Seq = seq
	}
	w = w[1:]
	if len(w) > 0 && w[0][0] >= '0' && w[0][0] <= '9' {
		from, to, both := strings.Cut(w[0], ":")
		g.Seq = seq + s.number(from)
		if both {
			n := int(seq + s.number(to) - g.Seq)
			g.Payload = make([]byte, n)
			for i := range g.Payload {
				g.Payload[i] = pattern(int64(g.Seq-seq) - 1 + int64(i))
			}
		}
		w = w[1:]
	}
	for len(w) > 0 {
		n := 2
		switch w[0] {
		case "ack":
			g.Ack = ack + s.number(w[1])
		case "win":
			g.Window = uint16(s.number(w[1]))
		case "ts":
			g.Options.HasTS, g.Options.TSVal, g.Options.TSEcr = true, s.number(w[1]), s.number(w[2])
			n = 3
		case "md5":
			g.Options.MD5 = true
			n = 1
		case "sack":
			for _, b := range w[1:] {
				l, r, _ := strings.Cut(b, ":")
				base := ack
				g.Options.SACK[g.Options.NSACK] = segment.Block{Left: base + s.number(l), Right: base + s.number(r)}
				g.Options.NSACK++
			}
			n = len(w)
		case "prio":
			prio = map[string]uint32{"close": gate.PrioClose, "shut": gate.PrioShut}[w[1]]
		default:
			s.t.Fatalf("option %q", w[0])
		}
		w = w[n:]
	}
	if !g.Flags.Has(segment.ACK) {
		g.Ack = 0
	}
	if syn {
		g.Options.MSS = 1460
		g.Options.SACKPermitted = s.sack
		g.Options.HasWScale, g.Options.WScale = s.hasWS, s.ws
	}
	return g, prio
}

// pattern is the byte at an offset of either stream.
func pattern(off int64) byte { return "abcdefghijklmnopqrstuvwxyz"[off%26] }

// show writes a segment with relative numbers.
func (s *script) show(g *segment.Segment, seq, ack uint32) string {
	rel := *g
	rel.Seq -= seq
	if g.Flags.Has(segment.ACK) {
		rel.Ack -= ack
	}
	for i := range rel.Options.NSACK {
		rel.Options.SACK[i].Left -= ack
		rel.Options.SACK[i].Right -= ack
	}
	line := rel.String()
	return line[strings.Index(line, "["):]
}
