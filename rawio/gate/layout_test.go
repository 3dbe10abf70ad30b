package gate

import (
	"crypto/sha256"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestLayout: who changes the records that the maps hold is reminded that engines
// adopt the gates of others. If what a gate with the old records has in its maps
// cannot be used with the new ones, LAYOUT in bpf/alive.h and mapLayout go up; in
// any case the sum here is to be replaced.
func TestLayout(t *testing.T) {
	const sum = "f2444478d203f3ef"
	comments, space := regexp.MustCompile(`(?s)/\*.*?\*/`), regexp.MustCompile(`\s+`)
	hash := sha256.New()
	for _, name := range []string{"maps.h", "alive.h", "event.h", "output.h", "own.h"} {
		text, err := os.ReadFile("bpf/" + name)
		must(t, err)
		for _, line := range strings.Split(comments.ReplaceAllString(string(text), ""), "\n") {
			if line = space.ReplaceAllString(line, " "); strings.TrimSpace(line) != "" {
				fmt.Fprintln(hash, strings.TrimSpace(line))
			}
		}
	}
	if got := fmt.Sprintf("%x", hash.Sum(nil)[:8]); got != sum {
		t.Errorf("the records have changed: their sum is %s, not %s; see the comment above", got, sum)
	}
	text, err := os.ReadFile("bpf/alive.h")
	must(t, err)
	if want := fmt.Sprintf("#define LAYOUT %d\n", mapLayout); !strings.Contains(string(text), want) {
		t.Errorf("bpf/alive.h does not say %q", want)
	}
}
