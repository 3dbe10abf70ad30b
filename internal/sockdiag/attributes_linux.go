package sockdiag

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// attribute finds the netlink attribute of a kind; nil: there is none.
func attribute(attributes []byte, kind uint16) []byte {
	for len(attributes) >= unix.SizeofRtAttr {
		n := int(binary.NativeEndian.Uint16(attributes))
		if n < unix.SizeofRtAttr || n > len(attributes) {
			return nil
		}
		if binary.NativeEndian.Uint16(attributes[2:]) == kind {
			return attributes[unix.SizeofRtAttr:n]
		}
		attributes = attributes[min((n+3)&^3, len(attributes)):]
	}
	return nil
}

// inetDiagSockopt is INET_DIAG_SOCKOPT (linux/inet_diag.h): struct inet_diag_sockopt.
const inetDiagSockopt = 22

// transparent reads the sixth bit field of struct inet_diag_sockopt: they begin with the
// lowest bit where the least significant byte comes first, else with the highest.
func transparent(attributes []byte) bool {
	v := attribute(attributes, inetDiagSockopt)
	bit := byte(1 << 5)
	if binary.NativeEndian.Uint16([]byte{0, 1}) == 1 {
		bit = 1 << (7 - 5)
	}
	return len(v) > 0 && v[0]&bit != 0
}
