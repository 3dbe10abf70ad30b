package format

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"time"

	"github.com/ftnet/ftnet/logserver"
)

// ConnState is what a State record tells about a connection.
type ConnState struct {
	// Meta is as in the log; Finished is not used: see Fin.
	Meta logserver.Meta
	// Number tells in which order connections were opened.
	Number uint64
	// Start is the offset below which data was discarded, ReadsFrom the one
	// where the first read begins that is still recorded, or the next.
	Start, ReadsFrom int64
	// Fin is where the client's FIN stands; -1 if there was none.
	Fin int64
}

// ErrState is returned for a state that makes no sense.
var ErrState = errors.New("state makes no sense")

const stateVersion = 1

// Append adds the payload of a State record to b. The connection's number is
// in the record's header.
func (s *ConnState) Append(b []byte) []byte {
	m := &s.Meta
	b = append(b, stateVersion)
	b = binary.AppendUvarint(b, s.Number)
	b = binary.LittleEndian.AppendUint64(b, m.Tag)
	for _, v := range []int64{
		m.Created.UnixNano(), m.Modified.UnixNano(), s.Start, s.ReadsFrom, s.Fin, int64(m.RTT),
		m.Output.Acked, m.Output.In, m.Output.Out, closedFlag(m.Output.Closed), m.Output.End,
	} {
		b = binary.AppendVarint(b, v)
	}
	b = binary.LittleEndian.AppendUint32(b, m.IRS)
	b = binary.LittleEndian.AppendUint32(b, m.ISS)
	b = binary.LittleEndian.AppendUint16(b, m.SYNFlags)
	client, _ := m.Client.MarshalBinary() // these return no errors
	server, _ := m.Server.MarshalBinary()
	for _, p := range [][]byte{[]byte(m.Service), client, server, m.SYNOptions, m.SYNACKOptions} {
		b = binary.AppendUvarint(b, uint64(len(p)))
		b = append(b, p...)
	}
	return b
}

func closedFlag(closed bool) int64 {
	if closed {
		return 1
	}
	return 0
}

// ParseState reads the payload of a State record. What follows it is ignored:
// a later minor change may add something.
func ParseState(b []byte) (*ConnState, error) {
	s := new(ConnState)
	if len(b) < 1 || b[0] != stateVersion {
		return nil, ErrState
	}
	var ok bool
	if s.Number, b, ok = uvarint(b[1:]); !ok || len(b) < 8 {
		return nil, ErrState
	}
	m := &s.Meta
	m.Tag, b = binary.LittleEndian.Uint64(b), b[8:]
	var v [11]int64
	for i := range v {
		if v[i], b, ok = varint(b); !ok {
			return nil, ErrState
		}
	}
	m.Created, m.Modified = time.Unix(0, v[0]), time.Unix(0, v[1])
	s.Start, s.ReadsFrom, s.Fin, m.RTT = v[2], v[3], v[4], time.Duration(v[5])
	m.Output = logserver.Output{Acked: v[6], In: v[7], Out: v[8], Closed: v[9] == 1, End: v[10]}
	if s.Start < 0 || s.ReadsFrom < 0 || s.Fin < -1 || len(b) < 10 {
		return nil, ErrState
	}
	m.IRS, m.ISS = binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[4:])
	m.SYNFlags = binary.LittleEndian.Uint16(b[8:])
	b = b[10:]
	var parts [5][]byte
	for i := range parts {
		var n uint64
		if n, b, ok = uvarint(b); !ok || n > uint64(len(b)) {
			return nil, ErrState
		}
		parts[i], b = b[:n:n], b[n:]
	}
	m.Service = string(parts[0])
	if parseAddr(&m.Client, parts[1]) != nil || parseAddr(&m.Server, parts[2]) != nil ||
		len(parts[3]) > logserver.MaxOptions || len(parts[4]) > logserver.MaxOptions {
		return nil, ErrState
	}
	m.SYNOptions, m.SYNACKOptions = bytes.Clone(parts[3]), bytes.Clone(parts[4])
	return s, nil
}

func parseAddr(a *netip.AddrPort, b []byte) error { return a.UnmarshalBinary(b) }

// AppendReads adds the payload of a Reads record to b.
func AppendReads(b []byte, runs []logserver.ReadRun) []byte {
	for _, r := range runs {
		b = binary.AppendUvarint(b, uint64(r.Length))
		b = binary.AppendUvarint(b, uint64(r.Count))
	}
	return b
}

// ErrReads is returned for reads that make no sense.
var ErrReads = errors.New("reads make no sense")

// ParseReads reads the payload of a Reads record.
func ParseReads(b []byte) ([]logserver.ReadRun, error) {
	var runs []logserver.ReadRun
	for len(b) > 0 {
		var length, count uint64
		var ok bool
		if length, b, ok = uvarint(b); !ok || length == 0 || length > 1<<32-1 {
			return nil, ErrReads
		}
		if count, b, ok = uvarint(b); !ok || count == 0 || count > 1<<32-1 {
			return nil, ErrReads
		}
		runs = append(runs, logserver.ReadRun{Length: uint32(length), Count: uint32(count)})
	}
	return runs, nil
}
