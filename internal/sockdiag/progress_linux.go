package sockdiag

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/internal/segment"
)

// inetDiagInfo is INET_DIAG_INFO (linux/inet_diag.h): struct tcp_info.
const inetDiagInfo = 2

// Progress returns how far the connections have come whose local port is one of ports.
// What holds for List holds here; half-open connections and those in TIME_WAIT are not
// among them. It needs CAP_NET_ADMIN.
func Progress(ports []uint16) (map[segment.Flow]Bytes, error) {
	c, err := dial()
	if err != nil {
		return nil, err
	}
	defer c.Close()
	list := make(map[segment.Flow]Bytes)
	for _, port := range ports {
		for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
			request := request{
				Family: family, Protocol: unix.IPPROTO_TCP, States: lasting, Extensions: 1 << (inetDiagInfo - 1),
			}
			request.ID.SourcePort = bigEndian(port)
			err := c.dumpAttributes(&request, func(m *message, attributes []byte) {
				if b, ok := bytesOf(attributes); ok && m.State != Listen {
					list[m.flow()] = b
				}
			})
			if err != nil {
				return nil, fmt.Errorf("sockdiag: progress: %w", err)
			}
		}
	}
	return list, nil
}

// bytesOf finds struct tcp_info among the attributes of a socket. That of a kernel with
// less in it than is needed here (before 4.19) is none.
func bytesOf(attributes []byte) (b Bytes, ok bool) {
	var info unix.TCPInfo
	const needed = unsafe.Offsetof(info.Bytes_retrans) + unsafe.Sizeof(info.Bytes_retrans)
	value := attribute(attributes, inetDiagInfo)
	if len(value) < int(needed) {
		return b, false
	}
	copy(unsafe.Slice((*byte)(unsafe.Pointer(&info)), unsafe.Sizeof(info)), value)
	return Bytes{Received: int64(info.Bytes_received), Sent: int64(info.Bytes_sent - info.Bytes_retrans)}, true
}
