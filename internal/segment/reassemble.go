package segment

import (
	"encoding/binary"
	"net/netip"
	"slices"
)

// Reassembler puts IP fragments together, as the kernel does it: what overlaps
// makes the whole datagram void (RFC 5722; Linux does so for IPv4, too), what is
// there already is ignored. So each byte has one source, and a hostile fragment
// can't replace what the kernel has. The zero value is ready. A Reassembler serves
// one goroutine at a time.
type Reassembler struct {
	byKey map[fragmentKey]*datagram
	queue []*datagram // oldest first; those that are over are still in it
	bytes int         // kept, of all datagrams
}

const (
	// fragmentLife is how long a datagram waits for its fragments, ns. They come
	// within milliseconds. The kernel waits for longer, up to a minute, in which
	// identifications come again: then parts of two datagrams meet.
	fragmentLife = 1e9
	// maxFragments bounds the bytes that are kept, as the kernel does.
	maxFragments = 4 << 20
	// fragmentCost is what a fragment or a datagram takes besides its bytes.
	fragmentCost = 128
)

type fragmentKey struct {
	src, dst netip.Addr
	id       uint32
	device   int
}

// datagram is one that is not complete yet.
type datagram struct {
	key    fragmentKey
	since  int64
	header []byte  // of the fragment at offset 0, up to where its data begins
	names  int     // IPv6: offset in header of the byte that says what follows
	runs   []piece // in order, without overlaps; adjacent ones are not always merged
	total  int     // where the data ends, as far as it is known
	last   bool    // total is certain
	have   int     // bytes of data
	cost   int
	over   bool
}

type piece struct {
	off  int
	data []byte
}

func (p piece) end() int { return p.off + len(p.data) }

// fragment is one that has arrived.
type fragment struct {
	key    fragmentKey
	header []byte
	names  int
	next   byte // IPv6: what the data is
	off    int
	more   bool
	data   []byte
}

// Add takes a packet for which Decode has returned ErrFragment, which came in by
// the device at time now, ns. If the datagram is complete by it, it is returned as
// one packet, which the caller owns; else nil.
func (r *Reassembler) Add(packet []byte, device int, now int64) []byte {
	r.Expire(now)
	f, ok := parseFragment(packet)
	if !ok {
		return nil
	}
	f.key.device = device
	d := r.byKey[f.key]
	if d == nil {
		d = r.begin(f.key, now)
	}
	before := d.cost
	keep := d.insert(&f)
	r.bytes += d.cost - before
	switch {
	case !keep:
		r.end(d)
		return nil
	case d.header == nil || !d.last || d.have != d.total:
		for r.bytes > maxFragments {
			r.end(r.oldest())
		}
		return nil
	}
	r.end(d)
	return d.packet()
}

func (r *Reassembler) begin(key fragmentKey, now int64) *datagram {
	if r.byKey == nil {
		r.byKey = map[fragmentKey]*datagram{}
	}
	d := &datagram{key: key, since: now, cost: fragmentCost}
	r.byKey[key] = d
	r.queue = append(r.queue, d)
	r.bytes += d.cost
	return d
}

// end forgets a datagram.
func (r *Reassembler) end(d *datagram) {
	r.bytes -= d.cost
	d.over = true
	delete(r.byKey, d.key)
	r.oldest()
}

// oldest drops what is over from the queue's beginning and returns what is first
// then, or nil.
func (r *Reassembler) oldest() *datagram {
	for len(r.queue) > 0 && r.queue[0].over {
		r.queue[0] = nil
		r.queue = r.queue[1:]
	}
	if len(r.queue) == 0 {
		r.queue = nil
		return nil
	}
	return r.queue[0]
}

// Expire forgets what has waited for too long. Add does so, too.
func (r *Reassembler) Expire(now int64) {
	for d := r.oldest(); d != nil && (now-d.since > fragmentLife || now < d.since-fragmentLife); d = r.oldest() {
		r.end(d)
	}
}

func parseFragment(packet []byte) (f fragment, ok bool) {
	if len(packet) == 0 {
		return f, false
	}
	var total int
	switch packet[0] >> 4 {
	case 4:
		header, n, err := header4(packet, len(packet))
		if err != nil {
			return f, false
		}
		field := binary.BigEndian.Uint16(packet[6:])
		f.header, f.off, f.more, total = packet[:header], int(field&0x1fff)*8, field&0x2000 != 0, n
		f.data = packet[header:total]
		f.key.src, f.key.dst = netip.AddrFrom4([4]byte(packet[12:])), netip.AddrFrom4([4]byte(packet[16:]))
		f.key.id = uint32(binary.BigEndian.Uint16(packet[4:]))
	case 6:
		w, err := header6(packet, len(packet))
		if err != nil || w.next != nextFragment || w.at+8 > w.total {
			return f, false
		}
		head := packet[w.at:]
		field := binary.BigEndian.Uint16(head[2:])
		f.header, f.names, f.next = packet[:w.at], w.names, head[0]
		f.off, f.more = int(field&0xfff8), field&1 != 0
		f.data = packet[w.at+8 : w.total]
		f.key.src, f.key.dst = netip.AddrFrom16([16]byte(packet[8:])), netip.AddrFrom16([16]byte(packet[24:]))
		f.key.id = binary.BigEndian.Uint32(head[4:])
		if f.more && len(f.data)%8 != 0 { // RFC 8200, section 4.5
			return f, false
		}
	default:
		return f, false
	}
	if f.more {
		f.data = f.data[:len(f.data)&^7]
	}
	return f, len(f.data) > 0 && f.off+len(f.data) <= maxPacket
}

// insert takes a fragment. It is false if the datagram is void.
func (d *datagram) insert(f *fragment) bool {
	end := f.off + len(f.data)
	switch {
	case !f.more && (end < d.total || d.last && end != d.total), f.more && d.last && end > d.total:
		return false
	case !f.more:
		d.last, d.total = true, end
	default:
		d.total = max(d.total, end)
	}
	there, ok := d.place(f.off, end)
	switch {
	case !ok:
		return false
	case there < 0:
		return true
	}
	if n := len(d.runs); there == n && n > 0 && d.runs[n-1].end() == f.off {
		d.runs[n-1].data = append(d.runs[n-1].data, f.data...)
	} else {
		d.runs = slices.Insert(d.runs, there, piece{f.off, slices.Clone(f.data)})
	}
	d.have += len(f.data)
	d.cost += len(f.data) + fragmentCost
	if f.off == 0 {
		d.header, d.names = slices.Clone(f.header), f.names
		if f.names > 0 {
			d.header[f.names] = f.next
		}
	}
	return true
}

// place returns the index at which new data belongs, -1 if it is there already, and
// whether it overlaps nothing (inet_frag_queue_insert). What arrives in order is
// one run; what lies in two is an overlap.
func (d *datagram) place(off, end int) (int, bool) {
	i := len(d.runs)
	for i > 0 && end <= d.runs[i-1].off {
		i--
	}
	switch {
	case i == 0 || off >= d.runs[i-1].end():
		return i, true
	case off >= d.runs[i-1].off && end <= d.runs[i-1].end():
		return -1, true
	}
	return 0, false
}

// packet returns the whole.
func (d *datagram) packet() []byte {
	size := len(d.header) + d.total
	p := append(make([]byte, 0, size), d.header...)
	for _, r := range d.runs {
		p = append(p, r.data...)
	}
	if p[0]>>4 == 4 {
		if size > maxPacket {
			return nil
		}
		binary.BigEndian.PutUint16(p[2:], uint16(size))
		p[6], p[7], p[10], p[11] = 0, 0, 0, 0
		binary.BigEndian.PutUint16(p[10:], ^fold(sum(p[:len(d.header)], 0)))
		return p
	}
	if size-ipv6Header > maxPacket {
		return nil
	}
	binary.BigEndian.PutUint16(p[4:], uint16(size-ipv6Header))
	return p
}
