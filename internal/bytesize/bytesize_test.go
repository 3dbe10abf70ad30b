package bytesize

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]Size{
		"0": 0, "1": 1, "64MiB": 64 * MiB, "4GiB": 4 * GiB, "1.5GiB": 3 * GiB / 2, " 2 tib ": 2 * TiB,
		"10K": 10 * KiB, "10k": 10 * KiB, "1MB": 1e6, "1.25kB": 1250, "7B": 7, ".5KiB": 512,
		"9223372036854775807": 1<<63 - 1,
	} {
		if got, err := Parse(text); got != want || err != nil {
			t.Errorf("Parse(%q) = %d, %v, want %d", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"": "empty", "  ": "empty", "MiB": "number", "-1": "negative", "1.5": "whole", "1.1.1K": "not a number", ".": "not a number",
		"64 parsecs": `unknown unit " parsecs"`, "8EiB": "unknown unit", "9223372036854775808": "too large", "8388608TiB": "too large",
		"0.0001KiB": "whole", "1e3": "unknown unit", "٣MiB": "number", strings.Repeat("9", 100): "number",
	} {
		if got, err := Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Parse(%q) = %d, %v, want an error with %q", text, got, err, want)
		}
	}
}

func TestExact(t *testing.T) {
	for size, want := range map[Size]string{
		0: "0", 1: "1", 1000: "1000", 1024: "1KiB", 1536: "1.5KiB", 64 * MiB: "64MiB", 6 * GiB / 4: "1.5GiB", 1<<63 - 1: "9223372036854775807",
		1<<63 - 1024: "9007199254740991KiB", 1<<59 + 256: "562949953421312.25KiB",
	} {
		if got := size.Exact(); got != want {
			t.Errorf("%d.Exact() = %q, want %q", int64(size), got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		size := Size(rapid.Int64Range(0, 1<<63-1).Draw(t, "size")) >> rapid.IntRange(0, 62).Draw(t, "shift") << rapid.IntRange(0, 40).Draw(t, "unit") & (1<<63 - 1)
		back, err := Parse(size.Exact())
		if err != nil || back != size {
			t.Fatalf("Parse(%q) = %d, %v, want %d", size.Exact(), back, err, size)
		}
	})
}

func TestString(t *testing.T) {
	for size, want := range map[Size]string{
		0: "0B", 512: "512B", 999: "999B", 1000: "1000B", 1024: "1KiB", 1536: "1.5KiB", 1500: "1.46KiB", 15 * KiB: "15KiB",
		15*KiB + 100: "15.1KiB", 100 * MiB: "100MiB", 64 * MiB: "64MiB", 1e7: "9.54MiB", 3 * GiB / 2: "1.5GiB", 5000 * TiB: "5000TiB",
	} {
		if got := size.String(); got != want {
			t.Errorf("%d.String() = %q, want %q", int64(size), got, want)
		}
	}
}

func TestText(t *testing.T) {
	var s Size
	if err := s.UnmarshalText([]byte("3MiB")); err != nil || s != 3*MiB {
		t.Errorf("%d, %v", s, err)
	}
	if err := s.Set("x"); err == nil || s != 3*MiB {
		t.Errorf("a bad value changes the size: %d, %v", s, err)
	}
	if text, err := s.MarshalText(); string(text) != "3MiB" || err != nil {
		t.Errorf("%q, %v", text, err)
	}
}
