//go:build !linux

package kernel

import (
	"context"

	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/rawio/internal/gate"
)

// Gate exists on Linux only; see gatetest.Model for its judgment elsewhere.
type Gate struct{}

// EventReader exists on Linux only.
type EventReader struct{}

// OutputReader exists on Linux only.
type OutputReader struct{}

// Load returns gate.ErrNotSupported.
func Load(Config) (*Gate, error) { return nil, gate.ErrNotSupported }

// Features returns one missing feature: Linux.
func Features() []Feature { return []Feature{{Name: "Linux", Err: gate.ErrNotSupported}} }

// ReleaseFeatures returns one missing feature: Linux.
func ReleaseFeatures() []Feature { return Features() }

// Adopt returns gate.ErrNotSupported.
func Adopt(Config) (*Gate, error) { return nil, gate.ErrNotSupported }

// FindStale returns gate.ErrNotSupported.
func FindStale(string, func(id string) bool) (Stale, error) { return Stale{}, gate.ErrNotSupported }

// RemoveStale returns gate.ErrNotSupported.
func RemoveStale(string, func(id string) bool) (Stale, error) { return Stale{}, gate.ErrNotSupported }

// MayPin returns gate.ErrNotSupported.
func MayPin(string) error { return gate.ErrNotSupported }

func (*Gate) Attach(int) error                                 { return gate.ErrNotSupported }
func (*Gate) Attached(int) bool                                { return false }
func (*Gate) Detach(int) error                                 { return gate.ErrNotSupported }
func (*Gate) Mend(int) (was, err error)                        { return nil, gate.ErrNotSupported }
func (*Gate) Overtaken(int) bool                               { return false }
func (*Gate) Close() error                                     { return gate.ErrNotSupported }
func (*Gate) SetService(uint16, gate.ServiceState, bool) error { return gate.ErrNotSupported }

// SetTransparent returns gate.ErrNotSupported.
func (*Gate) SetTransparent(uint16, bool) error { return gate.ErrNotSupported }

// Transparent returns gate.ErrNotSupported.
func (*Gate) Transparent(uint16) (bool, error) { return false, gate.ErrNotSupported }

// Aliases returns gate.ErrNotSupported.
func (*Gate) Aliases() (map[uint16]uint16, error)     { return nil, gate.ErrNotSupported }
func (*Gate) DeleteService(uint16) error              { return gate.ErrNotSupported }
func (*Gate) Bind(segment.Flow, uint32) error         { return gate.ErrNotSupported }
func (*Gate) BindProof(segment.Flow) error            { return gate.ErrNotSupported }
func (*Gate) Unbind(segment.Flow) error               { return gate.ErrNotSupported }
func (*Gate) Flows() (map[segment.Flow]uint32, error) { return nil, gate.ErrNotSupported }
func (*Gate) Services() ([]gate.Service, error)       { return nil, gate.ErrNotSupported }
func (*Gate) AddSender(uint64, gate.Sender) error     { return gate.ErrNotSupported }
func (*Gate) RemoveSender(uint64) error               { return gate.ErrNotSupported }
func (*Gate) Slot(uint32) *gate.Slot                  { return nil }
func (*Gate) MaxConns() int                           { return 0 }
func (*Gate) Events() *EventReader                    { return nil }
func (*Gate) Outputs() *OutputReader                  { return nil }
func (*Gate) WatchReleases() error                    { return gate.ErrNotSupported }
func (*Gate) MendReleases() (was, err error)          { return nil, gate.ErrNotSupported }
func (*Gate) MendPins() (was, err error)              { return nil, gate.ErrNotSupported }
func (*Gate) Beat() (bool, error)                     { return false, gate.ErrNotSupported }
func (*Gate) Pins() Pins                              { return Pins{Err: gate.ErrNotSupported} }
func (*Gate) Stats() (gate.Stats, error)              { return gate.Stats{}, gate.ErrNotSupported }
func (*EventReader) ReadBatch(context.Context, []gate.Event) (int, error) {
	return 0, gate.ErrNotSupported
}
func (*EventReader) TryReadBatch([]gate.Event) (int, error) { return 0, gate.ErrNotSupported }
func (*EventReader) FD() int                                { return -1 }
func (*OutputReader) ReadBatch(context.Context, []gate.Output) (int, error) {
	return 0, gate.ErrNotSupported
}

// BPFFS exists on Linux only.
type BPFFS struct{ Path string }

// OpenBPFFS returns gate.ErrNotSupported.
func OpenBPFFS(string, string) (*BPFFS, error) { return nil, gate.ErrNotSupported }

// FindBPFFS returns path.
func FindBPFFS(path, _ string) string { return path }

// Close does nothing.
func (*BPFFS) Close() error { return nil }

// UnmountBPFFS does nothing.
func UnmountBPFFS(string) error { return nil }
