package runtimedir

import (
	"errors"
	"os"
	"testing"
)

func TestClaimPort(t *testing.T) {
	const port = 1 // nobody serves it
	first, err := ClaimPort(port)
	if err != nil {
		t.Fatal(err)
	}
	if !PortTaken(port) {
		t.Error("not taken")
	}
	var taken *PortTakenError
	if _, err := ClaimPort(port); !errors.As(err, &taken) || taken.PID != os.Getpid() {
		t.Errorf("it is not said by whom: %v", err)
	}
	for range 300 { // more than a backlog
		if _, err := ClaimPort(port); !errors.Is(err, ErrPortTaken) {
			t.Fatalf("claimed twice: %v", err)
		}
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if PortTaken(port) {
		t.Error("taken after Close")
	}
	again, err := ClaimPort(port)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}
