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
	if d.set(time.Unix(1, 0)); !d.passed() {
		t.Error("long ago, and has not passed")
	}
	if at, ok := d.get(); !ok || time.Until(at) > 0 {
		t.Errorf("long ago: %v", at)
	}
	d.set(time.Now().AddDate(1000, 0, 0))
	if at, ok := d.get(); !ok || d.passed() || time.Until(at) < time.Hour {
		t.Errorf("in a thousand years: %v", at)
	}
	d.set(time.Time{})
	if at, ok := d.get(); ok || d.passed() || d.expire() {
		t.Errorf("taken back: %v", at)
	}
	d.set(time.Now().Add(time.Hour))
	was := d.at.Load()
	if d.set(time.Now().Add(2 * time.Hour)); d.expired(was) || d.passed() {
		t.Error("one that was set meanwhile is not the one that has passed")
	}
	if !d.expire() || !d.passed() || d.expire() {
		t.Error("a deadline passes once")
	}
}
