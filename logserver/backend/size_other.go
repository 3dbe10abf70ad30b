//go:build !linux

package backend

import "errors"

// fileSystemSize is for Linux; elsewhere the default does not depend on it.
func fileSystemSize(string) (int64, error) { return 0, errors.ErrUnsupported }
