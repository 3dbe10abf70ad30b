package pebblelog

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"

	"github.com/ftnet/ftnet/logserver"
)

// Keys of a connection are its number, big endian, after 'c', and then
//
//	m               what Open and Update recorded, and where the data begins
//	r sequence      runs of reads, in order
//	x offset        client bytes from this offset on
//
// so that one range deletion forgets a connection. Beside them 'n' and the upper
// half of numbers has the last lower half that was used.
const (
	kindMeta  = 'm'
	kindReads = 'r'
	kindData  = 'x'
)

func connKey(id logserver.ConnID) []byte {
	return binary.BigEndian.AppendUint64([]byte{'c'}, uint64(id))
}

func key(id logserver.ConnID, kind byte, n int64) []byte {
	k := append(make([]byte, 0, keyLen), 'c')
	k = binary.BigEndian.AppendUint64(k, uint64(id))
	k = append(k, kind)
	return binary.BigEndian.AppendUint64(k, uint64(n))
}

const keyLen = 1 + 8 + 1 + 8

func metaKey(id logserver.ConnID) []byte { return append(connKey(id), kindMeta) }

func lastKey(upper uint32) []byte { return binary.BigEndian.AppendUint32([]byte{'n'}, upper) }

// record is what stands under a connection's metaKey.
type record struct {
	meta  logserver.Meta
	start int64
}

func (r record) encode() []byte {
	m := r.meta
	b := binary.AppendUvarint(nil, m.Tag)
	b = appendBytes(b, []byte(m.Service))
	b = appendBytes(b, []byte(m.Client.String()))
	b = appendBytes(b, []byte(m.Server.String()))
	b = binary.BigEndian.AppendUint32(b, m.IRS)
	b = binary.BigEndian.AppendUint32(b, m.ISS)
	b = appendBytes(b, m.SYNOptions)
	b = appendBytes(b, m.SYNACKOptions)
	b = binary.BigEndian.AppendUint16(b, m.SYNFlags)
	b = binary.AppendVarint(b, int64(m.RTT))
	b = append(b, byte(flag(m.Finished)))
	b = binary.AppendVarint(b, m.Created.UnixNano())
	b = binary.AppendVarint(b, m.Modified.UnixNano())
	for _, n := range []int64{m.Output.Acked, m.Output.In, m.Output.Out, m.Output.End, flag(m.Output.Closed), r.start} {
		b = binary.AppendVarint(b, n)
	}
	return b
}

func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func appendBytes(b, p []byte) []byte { return append(binary.AppendUvarint(b, uint64(len(p))), p...) }

// reader takes apart what encode has put together.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.bad, r.b = true, nil
		return make([]byte, max(0, min(n, 8)))
	}
	p := r.b[:n:n]
	r.b = r.b[n:]
	return p
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.bad = true
		return 0
	}
	r.take(n)
	return v
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.bad = true
		return 0
	}
	r.take(n)
	return v
}

func (r *reader) bytes() []byte { return r.take(int(min(r.uvarint(), 1<<20))) }

func (r *reader) endpoint() netip.AddrPort {
	p, err := netip.ParseAddrPort(string(r.bytes()))
	if err != nil {
		return netip.AddrPort{}
	}
	return p
}

func decode(id logserver.ConnID, b []byte) (record, error) {
	r := &reader{b: append([]byte(nil), b...)}
	m := logserver.Meta{ID: id, Tag: r.uvarint(), Service: string(r.bytes())}
	m.Client, m.Server = r.endpoint(), r.endpoint()
	m.IRS, m.ISS = binary.BigEndian.Uint32(r.take(4)), binary.BigEndian.Uint32(r.take(4))
	m.SYNOptions, m.SYNACKOptions = r.bytes(), r.bytes()
	m.SYNFlags = binary.BigEndian.Uint16(r.take(2))
	m.RTT = time.Duration(r.varint())
	m.Finished = r.take(1)[0] == 1
	m.Created, m.Modified = time.Unix(0, r.varint()), time.Unix(0, r.varint())
	m.Output = logserver.Output{Acked: r.varint(), In: r.varint(), Out: r.varint(), End: r.varint(), Closed: r.varint() == 1}
	rec := record{meta: m, start: r.varint()}
	if r.bad {
		return record{}, fmt.Errorf("pebblelog: connection %d: damaged record", id)
	}
	return rec, nil
}
