package ftnet

import (
	"strings"
	"testing"
	"time"
)

// TestDeadlineIsMonotonic: also one that is given by what a clock on the wall shows is
// measured by one that nobody sets.
func TestDeadlineIsMonotonic(t *testing.T) {
	var d deadline
	if _, ok := d.get(); ok || d.passed() {
		t.Error("the zero value is a deadline")
	}
	d.set(time.Now().Add(time.Hour).Round(0))
	if at, ok := d.get(); !ok || d.passed() || !strings.Contains(at.String(), " m=") {
		t.Errorf("in an hour: %v", at)
	}
	d.set(time.Unix(1, 0))
	if at, _ := d.get(); !d.passed() {
		t.Errorf("long ago: %v", at)
	}
	d.set(time.Now().AddDate(1000, 0, 0))
	if at, ok := d.get(); !ok || d.passed() {
		t.Errorf("in a thousand years: %v", at)
	}
	d.set(time.Time{})
	if at, ok := d.get(); ok || d.passed() {
		t.Errorf("taken back: %v", at)
	}
}
