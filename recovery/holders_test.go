package recovery

import (
	"errors"
	"net"
	"net/netip"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/ftnet/ftnet/recovery/config"
)

// TestFree: a port is waited for while who listens there ends, and is taken if that does not end.
func TestFree(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ports := []uint16{netip.MustParseAddrPort(ln.Addr().String()).Port()}
	s := newService(&Host{log: hclog.NewNullLogger()}, config.Service{Name: "test"}, Inherit{})
	var taken *PortTakenError
	if err := s.free(ports); !errors.As(err, &taken) || taken.Address != ln.Addr().String() {
		t.Errorf("while somebody listens: %v", err)
	}
	free := make(chan error)
	go func() { free <- s.free(ports) }()
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-free; err != nil {
		t.Errorf("when nobody does: %v", err)
	}
}
