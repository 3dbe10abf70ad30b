package runtimedir

import (
	"errors"
	"os"
	"testing"

	"github.com/ftnet/ftnet/internal/ownership"
)

func TestPorts(t *testing.T) {
	s := ownership.Service{Name: "one", Port: 1} // nobody serves it
	first, err := Ports{}.Claim(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	if !PortTaken(s.Port) {
		t.Error("not taken")
	}
	var taken *PortTakenError
	if _, err := (Ports{}).Claim(t.Context(), s); !errors.As(err, &taken) || taken.PID != os.Getpid() {
		t.Errorf("it is not said by whom: %v", err)
	}
	other := ownership.Service{Name: "two", Port: s.Port}
	for range 300 { // more than a backlog
		if _, err := (Ports{}).Claim(t.Context(), other); !errors.Is(err, ErrPortTaken) {
			t.Fatalf("claimed twice: %v", err)
		}
	}
	for range 2 {
		if err := first.Release(); err != nil {
			t.Fatal(err)
		}
	}
	if PortTaken(s.Port) {
		t.Error("taken after Release")
	}
	again, err := Ports{}.Claim(t.Context(), other)
	if err != nil {
		t.Fatal(err)
	}
	if first.Epoch() == 0 || again.Epoch() <= first.Epoch() {
		t.Errorf("epoch %d after %d", again.Epoch(), first.Epoch())
	}
	if err := again.Release(); err != nil {
		t.Fatal(err)
	}
}
