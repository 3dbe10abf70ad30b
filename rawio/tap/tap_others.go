//go:build !linux

package tap

type buffers struct{}

// Tap is an open tap.
type Tap struct{}

// Open returns ErrNotSupported.
func Open(Config) (*Tap, error) { return nil, ErrNotSupported }

// ReadBatch returns ErrNotSupported.
func (*Tap) ReadBatch(*Batch) (int, error) { return 0, ErrNotSupported }

// Drops returns ErrNotSupported.
func (*Tap) Drops() (uint64, error) { return 0, ErrNotSupported }

// Close does nothing.
func (*Tap) Close() error { return nil }
