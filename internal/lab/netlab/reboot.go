package netlab

import (
	"errors"
	"fmt"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Other4 is the address that a server's host has beside those of the service,
// when it is another one.
var Other4 = netip.MustParseAddr("10.77.0.3")

// Reboot takes the server's host away as the loss of its power does, with all that
// runs there, and puts another one in its place: Server is a new namespace, whose
// link is up and has no address but Other4. The lab must be a direct one.
func (l *Lab) Reboot() error {
	if l.Relay != nil {
		return errors.New("netlab: a lab with a relay cannot be rebooted")
	}
	// First the link: nothing that the dying host says is to be heard.
	mtu, err := l.unplug()
	if err == nil {
		err = l.Server.close()
	}
	if err != nil {
		return fmt.Errorf("netlab: reboot: %w", err)
	}
	base, err := ownedName(os.Getpid(), labs.Add(1))
	if err != nil {
		return err
	}
	if l.Server, err = newNamespace(base + "-server"); err != nil {
		return err
	}
	client := end{l.Client, ClientLink, []netip.Prefix{netip.PrefixFrom(Client4, 24), netip.PrefixFrom(Client6, 64)}}
	return join(client, end{l.Server, ServerLink, []netip.Prefix{netip.PrefixFrom(Other4, 24)}}, mtu)
}

// MoveAddresses gives the host that Reboot has put there the addresses of the
// server.
func (l *Lab) MoveAddresses() error {
	e := end{l.Server, ServerLink, []netip.Prefix{netip.PrefixFrom(Server4, 24), netip.PrefixFrom(Server6, 64)}}
	if err := e.up(); err != nil {
		return err
	}
	return e.await()
}

// unplug removes the link, with both its ends.
func (l *Lab) unplug() (mtu int, err error) {
	h, err := netlink.NewHandleAt(l.Client.handle, unix.NETLINK_ROUTE)
	if err != nil {
		return 0, err
	}
	defer h.Close()
	link, err := h.LinkByName(ClientLink)
	if err != nil {
		return 0, err
	}
	return link.Attrs().MTU, h.LinkDel(link)
}
