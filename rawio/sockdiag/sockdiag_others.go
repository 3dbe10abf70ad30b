//go:build !linux

package sockdiag

import "github.com/ftnet/ftnet/rawio/segment"

// Destroy returns ErrNotSupported.
func Destroy(segment.Flow) error { return ErrNotSupported }

// List returns ErrNotSupported.
func List([]uint16) (map[segment.Flow]State, error) { return nil, ErrNotSupported }

// Progress returns ErrNotSupported.
func Progress([]uint16) (map[segment.Flow]Bytes, error) { return nil, ErrNotSupported }

// Listeners returns ErrNotSupported.
func Listeners([]uint16) ([]Listener, error) { return nil, ErrNotSupported }

// Supported returns ErrNotSupported.
func Supported() error { return ErrNotSupported }
