package bpf

import (
	"crypto/sha256"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ftnet/ftnet/rawio/internal/gate"
)

// TestLayout: who changes the records that the maps hold is reminded that engines
// adopt the gates of others. If what a gate with the old records has in its maps
// cannot be used with the new ones, LAYOUT in alive.h and Layout go up; in
// any case the sum here is to be replaced.
func TestLayout(t *testing.T) {
	const sum = "fb1a925c1cd2d163"
	comments, space := regexp.MustCompile(`(?s)/\*.*?\*/`), regexp.MustCompile(`\s+`)
	hash := sha256.New()
	for _, name := range []string{"maps.h", "alive.h", "event.h", "output.h", "own.h"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range strings.Split(comments.ReplaceAllString(string(text), ""), "\n") {
			if line = space.ReplaceAllString(line, " "); strings.TrimSpace(line) != "" {
				fmt.Fprintln(hash, strings.TrimSpace(line))
			}
		}
	}
	if got := fmt.Sprintf("%x", hash.Sum(nil)[:8]); got != sum {
		t.Errorf("the records have changed: their sum is %s, not %s; see the comment above", got, sum)
	}
	text, err := os.ReadFile("alive.h")
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("#define LAYOUT %d\n", Layout); !strings.Contains(string(text), want) {
		t.Errorf("alive.h does not say %q", want)
	}
}

// TestStatsOrder: the counters are read by their numbers.
func TestStatsOrder(t *testing.T) {
	text, err := os.ReadFile("maps.h")
	if err != nil {
		t.Fatal(err)
	}
	var want, got []string
	for _, m := range regexp.MustCompile(`(?m)^\tSTAT_(\w+),`).FindAllSubmatch(text, -1) {
		if name := string(m[1]); name != "COUNT" {
			want = append(want, strings.ReplaceAll(name, "_", ""))
		}
	}
	for f := range reflect.TypeFor[gate.Stats]().Fields() {
		got = append(got, strings.ToUpper(f.Name))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("gate.Stats is not enum stat of maps.h (-want +got):\n%s", diff)
	}
}
