//go:build !linux

package inject

// Injector is an open injector.
type Injector struct{}

// Open returns ErrNotSupported.
func Open() (*Injector, error) { return nil, ErrNotSupported }

// Cookies returns ErrNotSupported.
func (*Injector) Cookies() (toClient, toServer []uint64, err error) { return nil, nil, ErrNotSupported }

// ToServer returns ErrNotSupported.
func (*Injector) ToServer([]byte) error { return ErrNotSupported }

// ToClient returns ErrNotSupported.
func (*Injector) ToClient([][]byte) (int, error) { return 0, ErrNotSupported }

// Close does nothing.
func (*Injector) Close() error { return nil }
