package recovery

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"time"

	"github.com/ftnet/ftnet/internal/journal"
	"github.com/ftnet/ftnet/rawio"
	"github.com/ftnet/ftnet/rawio/south"
)

type coreCompare int
type coreLogPolicy int

const (
	coreCompareStrict coreCompare = iota
	coreCompareLength
)
const (
	coreLogFull coreLogPolicy = iota
	coreLogSinceIdle
	coreLogOff
)

type rawioService struct {
	Port       uint16
	Journal    *journal.Journal
	Unmodified bool
	Compare    coreCompare
	Quota      int64
	OnFull     south.OnFull
	LogPolicy  coreLogPolicy
	Idle       time.Duration
}

type engine struct{ *rawio.Engine }

func (e engine) Protect(s rawioService) error {
	if s.Unmodified {
		return errors.New("unmodified servers are not supported yet")
	}
	return e.Engine.Protect(s.Port)
}
func (e engine) Unprotect(uint16) {}
func (e engine) Probe(ctx context.Context, a netip.AddrPort) error {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", a.String())
	if err != nil {
		return err
	}
	return c.Close()
}
func (e engine) ReadLog(slot, gen uint32, _ func(uint16) bool, p []byte, off int64) (int, error) {
	return e.Engine.ReadLog(slot, gen, p, off)
}
func (e engine) FlowOf(slot, gen uint32, _ func(uint16) bool) (rawio.Flow, bool) {
	return e.Engine.FlowOf(slot, gen)
}
