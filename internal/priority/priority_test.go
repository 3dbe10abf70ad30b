//go:build linux

package priority_test

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/internal/priority"
)

// TestRaise: the calling thread's priority is raised, or the error says why not.
func TestRaise(t *testing.T) {
	done := make(chan struct{})
	go func() { // the thread ends with it
		defer close(done)
		err := priority.Raise()
		// getpriority(2) returns 20 less the nice value.
		raw, readErr := unix.Getpriority(unix.PRIO_PROCESS, 0)
		if readErr != nil {
			t.Error(readErr)
		} else if raised := 20-raw < 0; raised != (err == nil) {
			t.Errorf("nice %d, error %v", 20-raw, err)
		}
	}()
	<-done
}
