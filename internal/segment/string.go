package segment

import "strconv"

// flagLetters holds one letter a bit, lowest first, as tcpdump writes them;
// only ACK is A instead of a dot.
const flagLetters = "FSRPAUEWe"

// String returns the letters of the set bits, for example "PA", or "none".
func (f Flags) String() string { return string(f.appendTo(nil)) }

func (f Flags) appendTo(b []byte) []byte {
	n := len(b)
	for i := range len(flagLetters) {
		if f&(1<<i) != 0 {
			b = append(b, flagLetters[i])
		}
	}
	if len(b) == n {
		b = append(b, "none"...)
	}
	return b
}

// String returns the segment on one line, in the manner of tcpdump:
//
//	10.0.0.2:4000 > 10.0.0.1:7000 [PA] seq 1:11 ack 5 win 512 <ts 1 2, sack 5:9>
//
// The second sequence number is End; it is left out if Len is 0.
func (s *Segment) String() string {
	b := make([]byte, 0, 128)
	b = append(b, s.Src.String()...)
	b = append(b, " > "...)
	b = append(b, s.Dst.String()...)
	b = append(b, " ["...)
	b = s.Flags.appendTo(b)
	b = append(b, "] seq "...)
	b = strconv.AppendUint(b, uint64(s.Seq), 10)
	if s.Len() > 0 {
		b = append(b, ':')
		b = strconv.AppendUint(b, uint64(s.End()), 10)
	}
	if s.Flags.Has(ACK) {
		b = append(b, " ack "...)
		b = strconv.AppendUint(b, uint64(s.Ack), 10)
	}
	b = append(b, " win "...)
	b = strconv.AppendUint(b, uint64(s.Window), 10)
	if s.Flags.Has(URG) {
		b = append(b, " urg "...)
		b = strconv.AppendUint(b, uint64(s.Urgent), 10)
	}
	if o := s.Options.String(); o != "" {
		b = append(b, " <"...)
		b = append(b, o...)
		b = append(b, '>')
	}
	return string(b)
}

// String returns the options in a fixed order, separated by commas, or "".
func (o Options) String() string {
	var b []byte
	item := func(name string, values ...uint32) {
		if len(b) > 0 {
			b = append(b, ", "...)
		}
		b = append(b, name...)
		for _, v := range values {
			b = append(b, ' ')
			b = strconv.AppendUint(b, uint64(v), 10)
		}
	}
	if o.MSS != 0 {
		item("mss", uint32(o.MSS))
	}
	if o.SACKPermitted {
		item("sackok")
	}
	if o.HasTS {
		item("ts", o.TSVal, o.TSEcr)
	}
	if o.HasWScale {
		item("ws", uint32(o.WScale))
	}
	for i, blk := range o.Blocks() {
		if i == 0 {
			item("sack")
		}
		b = append(b, ' ')
		b = strconv.AppendUint(b, uint64(blk.Left), 10)
		b = append(b, ':')
		b = strconv.AppendUint(b, uint64(blk.Right), 10)
	}
	for _, named := range []struct {
		set  bool
		name string
	}{{o.FastOpen, "tfo"}, {o.MPTCP, "mptcp"}, {o.MD5, "md5"}, {o.AO, "ao"}} {
		if named.set {
			item(named.name)
		}
	}
	return string(b)
}
