package daemon

import (
	"context"
	"fmt"
	"testing"

	"github.com/ftnet/ftnet/recovery"
)

// TestMissing: who has waited in vain is told where nobody listens, if that is known.
func TestMissing(t *testing.T) {
	for want, err := range map[string]error{
		" at 127.0.0.1:1, [::]:2": fmt.Errorf("x: %w", &recovery.NotServingError{Missing: []string{"127.0.0.1:1", "[::]:2"}, Err: context.DeadlineExceeded}),
		"":                        &recovery.NotServingError{Err: context.DeadlineExceeded},
	} {
		if got := missing(err); got != want {
			t.Errorf("%v: %q, want %q", err, got, want)
		}
	}
}
