//go:build !linux

package nat

import "github.com/ftnet/ftnet/rawio/segment"

// Lookup returns ErrNotFound.
func Lookup(segment.Flow) (Entry, error) { return Entry{}, ErrNotFound }
