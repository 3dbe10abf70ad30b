package sockdiag

import (
	"encoding/binary"
	"errors"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// answer appends a netlink message to what the kernel says.
func answer(b []byte, kind, flags uint16, sequence uint32, data []byte) []byte {
	b = binary.NativeEndian.AppendUint32(b, uint32(unix.SizeofNlMsghdr+len(data)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = binary.NativeEndian.AppendUint16(b, flags)
	b = binary.NativeEndian.AppendUint32(b, sequence)
	b = binary.NativeEndian.AppendUint32(b, 0)
	return append(b, data...)
}

func number(errno unix.Errno) []byte {
	return binary.NativeEndian.AppendUint32(nil, uint32(-int32(errno)))
}

// TestAnswers: a dump that is not complete is an error, however the kernel says so.
func TestAnswers(t *testing.T) {
	const seq = 7
	socket := make([]byte, unsafe.Sizeof(message{}))
	one := answer(nil, unix.SOCK_DIAG_BY_FAMILY, unix.NLM_F_MULTI, seq, socket)
	with := func(first []byte, kind, flags uint16, sequence uint32, data []byte) []byte {
		return answer(append([]byte(nil), first...), kind, flags, sequence, data)
	}
	for _, test := range []struct {
		name    string
		b       []byte
		sockets int
		done    bool
		err     error
	}{
		{"a part", one, 1, false, nil},
		{"the end", with(one, unix.NLMSG_DONE, unix.NLM_F_MULTI, seq, number(0)), 1, true, nil},
		{"acknowledged", answer(nil, unix.NLMSG_ERROR, 0, seq, number(0)), 0, true, nil},
		{"refused", answer(nil, unix.NLMSG_ERROR, 0, seq, number(unix.ENOENT)), 0, true, unix.ENOENT},
		{"given up", with(one, unix.NLMSG_DONE, unix.NLM_F_MULTI, seq, number(unix.ENOMEM)), 1, true, unix.ENOMEM},
		{"changed at the end", with(one, unix.NLMSG_DONE, unix.NLM_F_MULTI|unix.NLM_F_DUMP_INTR, seq, number(0)), 1, true, errChanged},
		{"changed before", with(answer(nil, unix.SOCK_DIAG_BY_FAMILY, unix.NLM_F_MULTI|unix.NLM_F_DUMP_INTR, seq, socket),
			unix.NLMSG_DONE, unix.NLM_F_MULTI, seq, number(0)), 1, true, errChanged},
		{"of another request", with(one, unix.NLMSG_DONE, unix.NLM_F_MULTI, seq-1, number(unix.ENOMEM)), 1, false, nil},
		{"cut", one[:len(one)-1], 0, false, errCut},
		{"cut in the header", with(one, unix.NLMSG_DONE, 0, seq, nil)[:len(one)+3], 1, false, errCut},
		{"no length", make([]byte, 32), 0, false, errCut},
		{"no number", answer(nil, unix.NLMSG_DONE, 0, seq, nil), 0, false, errShort},
		{"half a socket", answer(nil, unix.SOCK_DIAG_BY_FAMILY, 0, seq, socket[:8]), 0, false, errShort},
	} {
		t.Run(test.name, func(t *testing.T) {
			n := 0
			c := conn{sequence: seq}
			done, err := c.answers(test.b, func(*message, []byte) { n++ })
			if done != test.done || !errors.Is(err, test.err) || n != test.sockets {
				t.Errorf("done %v, %v, %d sockets; want %v, %v, %d", done, err, n, test.done, test.err, test.sockets)
			}
		})
	}
}
