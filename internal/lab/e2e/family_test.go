package e2e

import (
	"context"
	"net"
	"strconv"

	"github.com/ftnet/ftnet/internal/lab/netlab"
)

// family is how the tests reach the server.
type family struct {
	name    string
	network string
	address func(port int) string
	dial    func(r *rig) func(ctx context.Context, network, address string) (net.Conn, error)
}

var families = []family{
	{"ipv4", "tcp4", func(p int) string { return netlab.Server4.String() + ":" + strconv.Itoa(p) }, fromClient},
	{"ipv6", "tcp6", func(p int) string { return "[" + netlab.Server6.String() + "]:" + strconv.Itoa(p) }, fromClient},
	{"loopback", "tcp4", func(p int) string { return "127.0.0.1:" + strconv.Itoa(p) }, fromServer},
}

type dialer = func(ctx context.Context, network, address string) (net.Conn, error)

func fromClient(r *rig) dialer { return r.lab.Client.DialContext }

func fromServer(r *rig) dialer { return r.lab.Server.DialContext }
