package gate

import (
	"testing"

	"go.uber.org/goleak"
)

// helper is run first: in a process that is one, it does not return.
var helper = func() {}

func TestMain(m *testing.M) {
	helper()
	goleak.VerifyTestMain(m)
}
