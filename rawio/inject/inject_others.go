//go:build !linux

package inject

// Injector is an open injector.
type Injector struct{}

// Open returns ErrNotSupported.
func Open(uint32) (*Injector, error) { return nil, ErrNotSupported }

// Send returns ErrNotSupported.
func (*Injector) Send([]byte) error { return ErrNotSupported }

// SendBatch returns ErrNotSupported.
func (*Injector) SendBatch([][]byte) (int, error) { return 0, ErrNotSupported }

// Close does nothing.
func (*Injector) Close() error { return nil }
