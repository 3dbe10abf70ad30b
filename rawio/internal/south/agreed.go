package south

import (
	"encoding/binary"
	"errors"

	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/logserver"
)

// agreed is how a connection began, as far as a recovery repeats it: the engine's
// logserver.Meta.Handshake, which no log looks into.
//
//	1 version (1) · 4 client's ISN · 4 server's ISN · 1 the SYN's flags ·
//	1 length of the SYN's options, then these · those of the SYN-ACK in the same way
//
// Numbers have their most significant byte first, options are as in a TCP header.
type agreed struct {
	irs, iss    uint32
	flags       segment.Flags // of the SYN: SYN, and ECE and CWR, by which ECN is negotiated
	syn, synack segment.Options
}

const (
	agreedVersion = 1
	agreedFlags   = segment.SYN | segment.ECE | segment.CWR
	// maxOptionBytes is the longest list of options that a header holds (RFC 9293, section 3.1).
	maxOptionBytes = 40
	maxAgreed      = 1 + 4 + 4 + 1 + 2*(1+maxOptionBytes)
)

// The compiler refuses to build if no log would take it.
var _ [logserver.MaxHandshake - maxAgreed]byte

var errAgreed = errors.New("the log's record of the handshake makes no sense")

// agreedBy is what SYN and SYN-ACK say.
func agreedBy(syn, synack *segment.Segment) agreed {
	return agreed{irs: syn.Seq, iss: synack.Seq, flags: syn.Flags & agreedFlags, syn: lasting(&syn.Options), synack: lasting(&synack.Options)}
}

// lasting is what of a segment's options a recovery may need.
func lasting(o *segment.Options) segment.Options {
	return segment.Options{
		MSS: o.MSS, WScale: o.WScale, HasWScale: o.HasWScale, SACKPermitted: o.SACKPermitted, HasTS: o.HasTS, TSVal: o.TSVal, TSEcr: o.TSEcr,
	}
}

// encode returns a.
func (a *agreed) encode() []byte {
	b := make([]byte, 0, maxAgreed)
	b = append(b, agreedVersion)
	b = binary.BigEndian.AppendUint32(b, a.irs)
	b = binary.BigEndian.AppendUint32(b, a.iss)
	b = append(b, byte(a.flags))
	for _, o := range [...]*segment.Options{&a.syn, &a.synack} {
		at := len(b)
		b, _ = o.Append(append(b, 0)) // what lasting leaves always fits
		b[at] = byte(len(b) - at - 1)
	}
	return b
}

// decodeAgreed reads what encode has written, of which a log may have made anything.
func decodeAgreed(b []byte) (agreed, error) {
	if len(b) < 10 || b[0] != agreedVersion {
		return agreed{}, errAgreed
	}
	a := agreed{irs: binary.BigEndian.Uint32(b[1:]), iss: binary.BigEndian.Uint32(b[5:]), flags: segment.Flags(b[9])}
	b = b[10:]
	for _, o := range [...]*segment.Options{&a.syn, &a.synack} {
		if len(b) == 0 || b[0] > maxOptionBytes || int(b[0]) > len(b)-1 {
			return agreed{}, errAgreed
		}
		all := segment.ParseOptions(b[1 : 1+b[0]])
		*o, b = lasting(&all), b[1+b[0]:]
	}
	if len(b) > 0 || !a.flags.Has(segment.SYN) || a.flags&^agreedFlags != 0 {
		return agreed{}, errAgreed
	}
	return a, nil
}

// segments returns SYN and SYN-ACK, as far as they are known.
func (a *agreed) segments() (syn, synack segment.Segment) {
	return segment.Segment{Seq: a.irs, Flags: a.flags, Window: 65535, Options: a.syn}, segment.Segment{Seq: a.iss, Options: a.synack}
}
