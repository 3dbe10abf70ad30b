//go:build !linux

package bytesize

import "errors"

// TotalMemory returns how much memory this process may use. It knows only
// Linux; elsewhere it returns an error that is errors.ErrUnsupported.
func TotalMemory() (Size, error) { return 0, errors.ErrUnsupported }
