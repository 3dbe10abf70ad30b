package sockdiag

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// inetDiagV6Only is INET_DIAG_SKV6ONLY (linux/inet_diag.h).
const inetDiagV6Only = 11

// Listeners returns the listening sockets of the ports; none means every port.
// With SO_REUSEPORT one address may have several. It acts in the calling
// thread's network namespace.
func Listeners(ports []uint16) ([]Listener, error) {
	c, err := dial()
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if len(ports) == 0 {
		ports = []uint16{0}
	}
	var list []Listener
	for _, port := range ports {
		for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
			request := request{Family: family, Protocol: unix.IPPROTO_TCP, States: 1 << Listen}
			request.ID.SourcePort = bigEndian(port)
			err := c.dumpAttributes(&request, func(m *message, attributes []byte) {
				only := attribute(attributes, inetDiagV6Only)
				list = append(list, Listener{
					Address: m.flow().Server, Inode: m.Inode, Cookie: m.cookie(),
					V6Only: len(only) > 0 && only[0] != 0, Interface: m.ID.Interface,
					Transparent: transparent(attributes),
				})
			})
			if err != nil {
				return nil, fmt.Errorf("sockdiag: list listeners: %w", err)
			}
		}
	}
	return list, nil
}
