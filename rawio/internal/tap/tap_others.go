//go:build !linux

package tap

import "time"

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

// Wait returns ErrNotSupported.
func (*Tap) Wait(...int) error { return ErrNotSupported }

// Pause returns ErrNotSupported.
func (*Tap) Pause(time.Duration, ...int) error { return ErrNotSupported }

// TryReadBatch returns ErrNotSupported.
func (*Tap) TryReadBatch(*Batch) (int, error) { return 0, ErrNotSupported }

// TryReadSplit returns ErrNotSupported.
func (*Tap) TryReadSplit(*Batch, int, []byte) (int, error) { return 0, ErrNotSupported }
