package recovery

import (
	"context"
	"net/netip"

	"github.com/ftnet/ftnet/rawio"
)

// engine is a *rawio.Engine.
type engine interface {
	outages
	Fence(ports ...uint16) (connections int)
	TakeOver(ctx context.Context, h rawio.Heir, protect func(port uint16) error) error
	ReleaseUnclaimed(claimed func(port uint16) bool) error
	Protect(s rawio.Service) error
	Unprotect(port uint16) error
	Listening(port uint16) (recovering int)
	Drain(ctx context.Context, ports ...uint16) error
	AbortAll(port uint16, why string)
	Serves(port uint16) bool
	FlowOf(slot, gen uint32, owner func(port uint16) bool) (rawio.Flow, bool)
	ReadLog(slot, gen uint32, owner func(port uint16) bool, p []byte, off int64) (int, error)
	ReadState(slot, gen uint32, owner func(port uint16) bool, p []byte, off int64) (int, error)
	Probe(ctx context.Context, server netip.AddrPort) error
	Snapshot(connections bool) (rawio.Snapshot, error)
	Handshakes() []rawio.Handshake
	Err() error
}
