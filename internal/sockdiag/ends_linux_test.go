package sockdiag

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"
)

// TestEnds: the end of a listener is told, after which it is not listed any more.
func TestEnds(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		ln, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		port := netip.MustParseAddrPort(ln.Addr().String()).Port()
		w, err := WatchEnds()
		if err != nil {
			t.Fatal(err)
		}
		over, cancel := context.WithCancel(t.Context())
		cancel()
		for err == nil { // other sockets of the host may have ended
			err = w.Wait(over)
		}
		if !errors.Is(err, context.Canceled) {
			t.Errorf("Wait: %v", err)
		}
		if err := ln.Close(); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		for {
			if err := w.Wait(ctx); err != nil {
				t.Fatal(err)
			}
			list, err := Listeners([]uint16{port})
			if err != nil {
				t.Fatal(err)
			}
			if len(list) == 0 {
				break
			}
		}
		cancel()
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	}
}
