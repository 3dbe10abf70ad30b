//go:build !linux

package conntrack

import "github.com/ftnet/ftnet/internal/segment"

// Table is the kernel's table of connections.
type Table struct{}

// Lookup returns ErrNotSupported.
func (*Table) Lookup(segment.Flow) (Entry, error) { return Entry{}, ErrNotSupported }

// Delete returns ErrNotSupported.
func (*Table) Delete(segment.Flow) error { return ErrNotSupported }

// Loosen returns ErrNotSupported.
func (*Table) Loosen(segment.Flow) error { return ErrNotSupported }

// Close does nothing.
func (*Table) Close() error { return nil }
