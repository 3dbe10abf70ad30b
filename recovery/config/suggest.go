package config

import (
	"fmt"
	"strings"
)

// nearest returns the candidate with the smallest edit distance to what was
// written, if that is small enough to be a slip.
func nearest(text string, candidates []string) (string, bool) {
	text = plain(text)
	if len(text) > 64 {
		return "", false
	}
	best, found := max(1, (len(text)+1)/3)+1, ""
	for _, c := range candidates {
		if d := distance(text, plain(c)); d < best && d < len(c) {
			best, found = d, c
		}
	}
	return found, found != ""
}

// plain drops what people get wrong most often: case, and "_" for "-".
func plain(s string) string { return strings.ReplaceAll(strings.ToLower(s), "_", "-") }

// distance counts the insertions, deletions, changes and swaps of neighbours
// that make a into b (optimal string alignment).
func distance(a, b string) int {
	var before []int
	last := make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row := make([]int, len(b)+1)
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(last[j]+cost, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}

// didYouMean is the suggestion of the nearest candidate, or instead if none is
// near.
func didYouMean(text string, candidates []string, instead string) string {
	if best, ok := nearest(text, candidates); ok {
		return fmt.Sprintf("did you mean %q?", best)
	}
	return instead
}

// oneOf lists values as people do: `"a", "b" or "c"`.
func oneOf(values []string) string {
	var b strings.Builder
	for i, v := range values {
		switch {
		case i > 0 && i == len(values)-1:
			b.WriteString(" or ")
		case i > 0:
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%q", v)
	}
	return b.String()
}
