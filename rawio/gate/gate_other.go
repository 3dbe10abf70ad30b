//go:build !linux

package gate

import (
	"context"

	"github.com/ftnet/ftnet/internal/segment"
)

// Gate exists on Linux only; see [Model] for its judgment elsewhere.
type Gate struct{}

// EventReader exists on Linux only.
type EventReader struct{}

// OutputReader exists on Linux only.
type OutputReader struct{}

// Feature is one thing that the gate needs of the kernel.
type Feature struct {
	Name string
	Err  error
}

// Load returns ErrNotSupported.
func Load(Config) (*Gate, error) { return nil, ErrNotSupported }

// Supported returns ErrNotSupported.
func Supported() error { return ErrNotSupported }

// Features returns one missing feature: Linux.
func Features() []Feature { return []Feature{{"Linux", ErrNotSupported}} }

// ReleaseFeatures returns one missing feature: Linux.
func ReleaseFeatures() []Feature { return Features() }

// Adopt returns ErrNotSupported.
func Adopt(Config, string) (*Gate, error) { return nil, ErrNotSupported }

// Abandoned returns ErrNotSupported.
func Abandoned(func(id string) bool) ([]string, error) { return nil, ErrNotSupported }

// CleanStale returns ErrNotSupported.
func CleanStale(func(id string) bool) ([]string, error) { return nil, ErrNotSupported }

// CleanLinks returns ErrNotSupported.
func CleanLinks(string, func(id string) bool) ([]string, error) { return nil, ErrNotSupported }

// CleanPins returns ErrNotSupported.
func CleanPins(string) ([]string, error) { return nil, ErrNotSupported }

// LeftPins returns ErrNotSupported.
func LeftPins(string) ([]string, error) { return nil, ErrNotSupported }

// MayPin returns ErrNotSupported.
func MayPin(string) error { return ErrNotSupported }

func (*Gate) Attach(int) error                            { return ErrNotSupported }
func (*Gate) Attached(int) bool                           { return false }
func (*Gate) Detach(int) error                            { return ErrNotSupported }
func (*Gate) Mend(int) (was, err error)                   { return nil, ErrNotSupported }
func (*Gate) Overtaken(int) bool                          { return false }
func (*Gate) Close() error                                { return ErrNotSupported }
func (*Gate) SetService(uint16, ServiceState, bool) error { return ErrNotSupported }

// SetTransparent returns ErrNotSupported.
func (*Gate) SetTransparent(uint16, bool) error { return ErrNotSupported }

// Transparent returns ErrNotSupported.
func (*Gate) Transparent(uint16) (bool, error) { return false, ErrNotSupported }

// Aliases returns ErrNotSupported.
func (*Gate) Aliases() (map[uint16]uint16, error)        { return nil, ErrNotSupported }
func (*Gate) DeleteService(uint16) error                 { return ErrNotSupported }
func (*Gate) Bind(segment.Flow, uint32) error            { return ErrNotSupported }
func (*Gate) BindProof(segment.Flow) error               { return ErrNotSupported }
func (*Gate) Unbind(segment.Flow) error                  { return ErrNotSupported }
func (*Gate) Flows() (map[segment.Flow]uint32, error)    { return nil, ErrNotSupported }
func (*Gate) Services() ([]Service, error)               { return nil, ErrNotSupported }
func (*Gate) Own(uint64, Sender) error                   { return ErrNotSupported }
func (*Gate) Disown(uint64) error                        { return ErrNotSupported }
func (*Gate) Slot(uint32) *Slot                          { return nil }
func (*Gate) MaxConns() int                              { return 0 }
func (*Gate) Events() *EventReader                       { return nil }
func (*Gate) Outputs() *OutputReader                     { return nil }
func (*Gate) WatchReleases() error                       { return ErrNotSupported }
func (*Gate) MendReleases() (was, err error)             { return nil, ErrNotSupported }
func (*Gate) MendPins() (was, err error)                 { return nil, ErrNotSupported }
func (*Gate) Beat() bool                                 { return false }
func (*Gate) Pins() Pins                                 { return Pins{Err: ErrNotSupported} }
func (*Gate) Stats() (Stats, error)                      { return Stats{}, ErrNotSupported }
func (*EventReader) Read(context.Context) (Event, error) { return Event{}, ErrNotSupported }
func (*EventReader) ReadBatch(context.Context, []Event) (int, error) {
	return 0, ErrNotSupported
}
func (*EventReader) TryReadBatch([]Event) (int, error) { return 0, ErrNotSupported }
func (*EventReader) FD() int                           { return -1 }
func (*OutputReader) Available() bool                  { return false }
func (*OutputReader) ReadBatch(context.Context, []Output) (int, error) {
	return 0, ErrNotSupported
}
