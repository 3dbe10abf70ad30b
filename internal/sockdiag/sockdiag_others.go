//go:build !linux

package sockdiag

import (
	"context"

	"github.com/ftnet/ftnet/internal/segment"
)

// Destroy returns ErrNotSupported.
func Destroy(segment.Flow, ...int) error { return ErrNotSupported }

// List returns ErrNotSupported.
func List([]uint16) (map[segment.Flow]State, error) { return nil, ErrNotSupported }

// Progress returns ErrNotSupported.
func Progress([]uint16) (map[segment.Flow]Bytes, error) { return nil, ErrNotSupported }

// Sockets returns ErrNotSupported.
func Sockets([]uint16) ([]Socket, error) { return nil, ErrNotSupported }

// Listeners returns ErrNotSupported.
func Listeners([]uint16) ([]Listener, error) { return nil, ErrNotSupported }

// Supported returns ErrNotSupported.
func Supported() error { return ErrNotSupported }

// Watcher does nothing.
type Watcher struct{}

// Watch returns ErrNotSupported.
func Watch() (*Watcher, error) { return nil, ErrNotSupported }

// Close returns nil.
func (*Watcher) Close() error { return nil }

// State returns ErrNotSupported.
func (*Watcher) State(segment.Flow, ...int) (State, error) { return 0, ErrNotSupported }

// Progress returns ErrNotSupported.
func (*Watcher) Progress(segment.Flow, ...int) (Bytes, error) { return Bytes{}, ErrNotSupported }

// Room returns ErrNotSupported.
func (*Watcher) Room(uint16) (int, error) { return 0, ErrNotSupported }

// Sockets returns ErrNotSupported.
func (*Watcher) Sockets([]uint16, func(*Socket)) error { return ErrNotSupported }

// Ends does nothing.
type Ends struct{}

// WatchEnds returns ErrNotSupported.
func WatchEnds() (*Ends, error) { return nil, ErrNotSupported }

// Wait returns ErrNotSupported.
func (*Ends) Wait(context.Context) error { return ErrNotSupported }

// Close returns nil.
func (*Ends) Close() error { return nil }
