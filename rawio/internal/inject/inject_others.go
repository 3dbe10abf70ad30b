//go:build !linux

package inject

// Injector is an open injector.
type Injector struct{}

// Open returns ErrNotSupported.
func Open(Config) (*Injector, error) { return nil, ErrNotSupported }

// Sockets returns ErrNotSupported.
func (*Injector) Sockets() (Sockets, error) { return Sockets{}, ErrNotSupported }

// Room returns 0.
func (*Injector) Room(int) int { return 0 }

// ToServer returns ErrNotSupported.
func (*Injector) ToServer(Packet) error { return ErrNotSupported }

// ToClient returns ErrNotSupported.
func (*Injector) ToClient([]Packet) (int, error) { return 0, ErrNotSupported }

// Close does nothing.
func (*Injector) Close() error { return nil }
