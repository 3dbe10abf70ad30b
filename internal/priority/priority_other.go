//go:build !linux

package priority

import "errors"

// Raise returns [errors.ErrUnsupported].
func Raise() error { return errors.ErrUnsupported }
