package conntrack

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/internal/segment"
)

var told = Entry{Client: netip.MustParseAddrPort("192.0.2.1:1000"), Server: netip.MustParseAddrPort("192.0.2.2:80")}

// tell is a message of the kernel about a connection with the seq 7; more adds to it.
func tell(e Entry, more func(*message)) []byte {
	var m message
	m.head(changeEntry, 7, e.Server.Addr().Is6())
	m.nest(tupleOrig, func() { m.tuple(segment.Flow{Client: e.Client, Server: e.Server}) })
	if more != nil {
		more(&m)
	}
	return m.whole()
}

// acknowledge is the message that ends an answer.
func acknowledge(errno unix.Errno, seq uint32) []byte {
	b := binary.NativeEndian.AppendUint32(nil, unix.NLMSG_HDRLEN+4)
	b = binary.NativeEndian.AppendUint16(b, unix.NLMSG_ERROR)
	b = binary.NativeEndian.AppendUint16(b, 0)
	b = binary.NativeEndian.AppendUint32(b, seq)
	b = binary.NativeEndian.AppendUint32(b, 0)
	return binary.NativeEndian.AppendUint32(b, uint32(-int32(errno)))
}

func TestParse(t *testing.T) {
	six := Entry{Client: netip.MustParseAddrPort("[2001:db8::1]:1000"), Server: netip.MustParseAddrPort("[2001:db8::2]:80")}
	for _, want := range []Entry{told, six} {
		whole := tell(want, nil)[unix.NLMSG_HDRLEN:]
		if got, err := parse(whole); got != want || err != nil {
			t.Error(got, err)
		}
		for n := range whole {
			if got, err := parse(whole[:n]); !errors.Is(err, errAnswer) {
				t.Errorf("of %d bytes: %v, %v", n, got, err)
			}
		}
		want.SYNProxy = true
		if got, err := parse(tell(want, func(m *message) { m.nest(synProxy, func() {}) })[unix.NLMSG_HDRLEN:]); got != want || err != nil {
			t.Error(got, err)
		}
	}
}

// TestAnswers: messages may come in one piece or in two, and those of a request that
// was given up may come before.
func TestAnswers(t *testing.T) {
	for _, c := range []struct {
		name string
		b    []byte
		told int
		done bool
		err  error
	}{
		{"both", append(tell(told, nil), acknowledge(0, 7)...), 1, true, nil},
		{"the first", tell(told, nil), 1, false, nil},
		{"the second", acknowledge(0, 7), 0, true, nil},
		{"an error", acknowledge(unix.ENOENT, 7), 0, true, unix.ENOENT},
		{"an older one", append(acknowledge(unix.ENOENT, 6), acknowledge(0, 7)...), 0, true, nil},
		{"only an older one", acknowledge(unix.ENOENT, 6), 0, false, nil},
		{"cut", acknowledge(0, 7)[:unix.NLMSG_HDRLEN+3], 0, false, errAnswer},
	} {
		table, n := Table{seq: 7}, 0
		done, err := table.answer(c.b, func(b []byte) error {
			n++
			_, err := parse(b)
			return err
		})
		if n != c.told || done != c.done || !errors.Is(err, c.err) {
			t.Errorf("%s: told %d, done %v, %v", c.name, n, done, err)
		}
	}
}

func FuzzAnswers(f *testing.F) {
	f.Add(append(tell(told, nil), acknowledge(0, 7)...))
	f.Add(tell(told, func(m *message) { m.add(synProxy, 1, 2, 3) }))
	f.Add(acknowledge(unix.ENOENT, 7))
	f.Fuzz(func(t *testing.T, b []byte) {
		table := Table{seq: 7}
		_, _ = table.answer(b, func(b []byte) error {
			e, err := parse(b)
			if err == nil && (!e.Client.IsValid() || !e.Server.IsValid()) {
				t.Errorf("%v without an error", e)
			}
			return nil
		})
	})
}
