package kernel

import (
	"testing"

	"go.uber.org/goleak"
)

// helpers are run first: in a process that is one of them, that does not return.
var helpers []func()

func TestMain(m *testing.M) {
	for _, helper := range helpers {
		helper()
	}
	goleak.VerifyTestMain(m)
}
