package kernel

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/ftnet/ftnet/internal/lab/testenv"
	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/rawio/internal/gate"
	"github.com/ftnet/ftnet/rawio/internal/gate/gatetest"
)

func TestSupported(t *testing.T) {
	testenv.RequireRoot(t)
	for _, f := range Features() {
		if f.Err != nil {
			t.Errorf("%s: %v", f.Name, f.Err)
		}
	}
}

func TestConfig(t *testing.T) {
	for _, c := range []Config{{}, {ID: "0123abc"}, {ID: "0123ABCD"}, {ID: "0123abcd", MaxConns: -1}} {
		if _, err := Load(c); err == nil || !strings.HasPrefix(err.Error(), "gate: ") {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func TestBindChecksSlot(t *testing.T) {
	g := loadGate(t, 4)
	flow := segment.Flow{Client: netip.MustParseAddrPort("10.0.0.1:1"), Server: netip.MustParseAddrPort("10.0.0.2:2")}
	for _, j := range []judge{kernelJudge{Gate: g}, modelJudge{gatetest.NewModel(4)}} {
		if err := j.Bind(flow, 4); err != gate.ErrSlot {
			t.Errorf("bind to slot 4 of 4: %v", err)
		}
		must(t, j.Unbind(flow))
		must(t, j.DeleteService(9))
	}
}

func TestEventReaderEnds(t *testing.T) {
	g := loadGate(t, 4)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { _, err := g.readEvent(ctx); done <- err }()
	cancel()
	if err := <-done; err != context.Canceled {
		t.Errorf("read after cancel: %v", err)
	}
	go func() { _, err := g.readEvent(context.Background()); done <- err }()
	must(t, g.Close())
	if err := <-done; err != net.ErrClosed {
		t.Errorf("read after close: %v", err)
	}
}
