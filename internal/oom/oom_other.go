//go:build !linux

package oom

import "errors"

// Lower knows only Linux.
func Lower() (func(), error) { return nil, errors.ErrUnsupported }

// Start calls f.
func Start(f func() error) error { return f() }
