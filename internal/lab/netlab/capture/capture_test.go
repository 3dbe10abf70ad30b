package capture_test

import (
	"errors"
	"net"
	"net/netip"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/ftnet/ftnet/internal/lab/netlab"
	"github.com/ftnet/ftnet/internal/lab/netlab/capture"
	"github.com/ftnet/ftnet/internal/lab/netlab/netlabtest"
	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/internal/seqnum"
)

func TestCaptureHoldsTheWholeStream(t *testing.T) {
	for name, c := range map[string]struct {
		snap   int
		server netip.Addr
	}{
		"whole v4":  {capture.Whole, netlab.Server4},
		"whole v6":  {capture.Whole, netlab.Server6},
		"header v4": {128, netlab.Server4},
	} {
		t.Run(name, func(t *testing.T) {
			lab := netlabtest.New(t, nil)
			path := filepath.Join(t.TempDir(), "client.pcapng")
			capt, err := capture.Start(lab.Client, netlab.ClientLink, path, c.snap)
			if err != nil {
				t.Fatal(err)
			}
			const size = 1 << 20
			send(t, lab, c.server, size)
			stats, err := capt.Stop()
			if err != nil || stats.Lost != 0 {
				t.Fatal(stats, err)
			}
			client := netlab.Client4
			if c.server.Is6() {
				client = netlab.Client6
			}
			var start, high uint32
			var fins int
			for r, err := range capture.Segments(path, client) {
				if err != nil {
					t.Fatal(err)
				}
				switch {
				case r.Flags.Has(segment.SYN):
					start, high = r.Seq+1, r.Seq+1
				case r.Flags.Has(segment.FIN):
					fins++
				}
				high = seqnum.Max(high, r.End())
				if r.Time.IsZero() || r.Dst.Addr() != c.server {
					t.Errorf("packet %d: %v %v", r.Number, r.Time, r.Dst)
				}
			}
			if got := high - start; got != size+1 || fins == 0 {
				t.Errorf("%d bytes of sequence space and %d FINs, want %d and one", got, fins, size+1)
			}
		})
	}
}

func TestCaptureHoldsRefusals(t *testing.T) {
	lab := netlabtest.New(t, nil)
	path := filepath.Join(t.TempDir(), "client.pcapng")
	capt, err := capture.Start(lab.Client, netlab.ClientLink, path, capture.Whole)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lab.Client.Dial("tcp", "10.77.0.2:9"); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("TCP: %v", err)
	}
	udp, err := lab.Client.Dial("udp", "[fd77::2]:9")
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	udp.Write([]byte("x"))
	if _, err := udp.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("UDP: %v", err)
	}
	if _, err := capt.Stop(); err != nil {
		t.Fatal(err)
	}
	resets := 0
	for r, err := range capture.Segments(path, netlab.Server4) {
		if err != nil {
			t.Fatal(err)
		}
		if r.Flags.Has(segment.RST) {
			resets++
		}
	}
	unreachable := 0
	for e, err := range capture.Unreachable(path) {
		if err != nil {
			t.Fatal(err)
		}
		if e.From == netlab.Server6 {
			unreachable++
		}
	}
	if resets != 1 || unreachable != 1 {
		t.Errorf("%d resets and %d ICMP errors, want one each", resets, unreachable)
	}
}

func send(t *testing.T, lab *netlab.Lab, server netip.Addr, n int) {
	t.Helper()
	ln, err := lab.Server.Listen("tcp", netip.AddrPortFrom(server, 7000).String())
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	done := make(chan error, 1)
	go func() {
		c, err := ln.Accept()
		if err == nil {
			defer c.Close()
			buf := make([]byte, 1<<16)
			for err == nil {
				_, err = c.Read(buf)
			}
		}
		done <- err
	}()
	c, err := lab.Client.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write(make([]byte, n)); err != nil {
		t.Fatal(err)
	}
	c.(*net.TCPConn).CloseWrite()
	<-done
	c.Read(make([]byte, 1)) // until the server's FIN is here
	c.Close()
}
