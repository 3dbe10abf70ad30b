package gate

import (
	"errors"
	"io/fs"
	"testing"
)

// TestUnsupportedFeatureError: it says what is missing, why, and what helps.
func TestUnsupportedFeatureError(t *testing.T) {
	var err error = &UnsupportedFeatureError{Name: "tcx", Remedy: "needs Linux 6.6 or newer", Err: fs.ErrPermission}
	if got, want := err.Error(), "gate: tcx: permission denied (needs Linux 6.6 or newer)"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if !errors.Is(err, ErrNotSupported) || !errors.Is(err, fs.ErrPermission) || errors.Is(err, ErrDevice) {
		t.Error("it is not what it says")
	}
}
