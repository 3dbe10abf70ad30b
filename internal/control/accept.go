package control

import (
	"errors"
	"slices"
	"syscall"
	"time"
)

// AcceptPause is how long a server waits after a Temporary error before it tries again.
const AcceptPause = 10 * time.Millisecond

// Temporary reports whether an error of accept(2) passes: there are no descriptors or memory
// left, or a peer was gone before it was accepted.
func Temporary(err error) bool {
	return slices.ContainsFunc(temporary, func(e error) bool { return errors.Is(err, e) })
}

var temporary = []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED}
