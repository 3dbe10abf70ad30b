package output

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// split feeds the chunks to a splitter and returns what it emits; "…" marks a
// partial line.
func split(chunks ...string) (lines []string) {
	s := splitter{emit: func(text []byte, partial bool) {
		line := string(text)
		if partial {
			line += "…"
		}
		lines = append(lines, line)
	}}
	for _, c := range chunks {
		s.write([]byte(c))
	}
	s.flush()
	return lines
}

func TestSplit(t *testing.T) {
	long := strings.Repeat("x", maxLine)
	for _, tt := range []struct {
		name string
		in   []string
		want []string
	}{
		{"nothing", nil, nil},
		{"lines", []string{"a\nb\n"}, []string{"a", "b"}},
		{"in pieces", []string{"a", "b\nc", "", "\n"}, []string{"ab", "c"}},
		{"empty lines", []string{"\n\n"}, []string{"", ""}},
		{"no newline at the end", []string{"a\nb"}, []string{"a", "b…"}},
		{"from another system", []string{"a\r\n", "b\r", "\nc\rd\n"}, []string{"a", "b", "c\rd"}},
		{"as long as may be", []string{long, "\n"}, []string{long}},
		{"too long", []string{long, "yz\n"}, []string{long + "…", "yz"}},
		{"much too long", []string{long + long + long + "\n"}, []string{long + "…", long + "…", long}},
		{"cut inside a character", []string{long[1:] + "€uro\n"}, []string{long[1:] + "…", "€uro"}},
		{"cut after a character", []string{long[3:] + "€uro\n"}, []string{long[3:] + "€…", "uro"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, split(tt.in...)); diff != "" {
				t.Errorf("(-want +got):\n%.2000s", diff)
			}
		})
	}
}

// TestSplitLosesNothing: whatever comes in whatever pieces goes out again, in
// lines that are not too long, and text stays text.
func TestSplitLosesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var in, out bytes.Buffer
		s := splitter{emit: func(text []byte, partial bool) {
			if len(text) > maxLine {
				t.Fatalf("a line of %d bytes", len(text))
			}
			if !utf8.Valid(text) {
				t.Fatalf("a character is split: % x", text[max(0, len(text)-8):])
			}
			out.Write(text)
			if !partial {
				out.WriteByte('\n')
			}
		}}
		for range rapid.IntRange(0, 20).Draw(t, "chunks") {
			unit := rapid.SampledFrom([]string{"a", "é", "€", "😀", "\n", "word "}).Draw(t, "unit")
			chunk := strings.Repeat(unit, rapid.IntRange(0, maxLine).Draw(t, "n"))
			in.WriteString(chunk)
			s.write([]byte(chunk))
		}
		s.flush()
		if !bytes.Equal(in.Bytes(), out.Bytes()) {
			t.Fatal(fmt.Sprintf("%d bytes in, %d out", in.Len(), out.Len()))
		}
	})
}
