// Package bytesize reads and writes amounts of memory as people say them:
// "64MiB", "1.5GiB". It also finds out how much memory there is to give.
package bytesize

import (
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
)

// Size is a number of bytes, 0 to 2⁶³-1. It serves as a flag (pflag.Value) and
// in configuration files (encoding.TextUnmarshaler).
type Size int64

// The units that Parse knows, in bytes.
const (
	KiB Size = 1 << 10
	MiB Size = 1 << 20
	GiB Size = 1 << 30
	TiB Size = 1 << 40
)

var units = map[string]int64{
	"": 1, "b": 1,
	"kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40,
	"k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40,
	"kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12,
}

// Parse reads a size: a number, with a decimal point if it likes, and a unit:
// KiB, MiB, GiB, TiB or K, M, G, T for powers of 1024; kB, MB, GB, TB for
// powers of 1000; B or none for bytes. Case does not matter, nor does space
// between the two. The result must be a whole number of bytes.
func Parse(s string) (Size, error) {
	text := strings.TrimSpace(s)
	i := strings.IndexFunc(text, func(r rune) bool { return r != '.' && (r < '0' || r > '9') })
	if i < 0 {
		i = len(text)
	}
	number, unit := text[:i], strings.ToLower(strings.TrimSpace(text[i:]))
	factor, ok := units[unit]
	switch {
	case text == "":
		return 0, fmt.Errorf("size is empty: want a number and a unit, such as 64MiB")
	case strings.HasPrefix(text, "-"):
		return 0, fmt.Errorf("size %q is negative", s)
	case number == "" || len(number) > 40:
		return 0, fmt.Errorf("size %q does not begin with a number: want for example 64MiB", s)
	case !ok:
		return 0, fmt.Errorf("size %q: unknown unit %q: want KiB, MiB, GiB, TiB or none for bytes", s, text[i:])
	}
	r, ok := new(big.Rat).SetString(number)
	if !ok {
		return 0, fmt.Errorf("size %q: %q is not a number", s, number)
	}
	r.Mul(r, new(big.Rat).SetInt64(factor))
	if !r.IsInt() {
		return 0, fmt.Errorf("size %q is not a whole number of bytes", s)
	}
	if !r.Num().IsInt64() {
		return 0, fmt.Errorf("size %q is too large: at most %d bytes", s, int64(math.MaxInt64))
	}
	return Size(r.Num().Int64()), nil
}

// String writes the size for people, to about three significant digits:
// "64MiB", "1.46GiB", "512B".
func (s Size) String() string {
	f, unit := float64(s), "B"
	for _, u := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if f < 1023.5 {
			break
		}
		f, unit = f/1024, u
	}
	return strconv.FormatFloat(f, 'f', decimals(f), 64) + unit
}

// decimals returns how many of f's decimals are within three digits and not
// all zero.
func decimals(f float64) int {
	n := 0
	for limit := 99.95; n < 2 && f < limit; limit = 9.995 {
		n++
	}
	for ; n > 0; n-- {
		if p := math.Pow10(n); math.Mod(math.Round(f*p), 10) != 0 {
			break
		}
	}
	return n
}

// Exact writes the size with the largest unit that keeps it exact with at
// most two decimals, so that Parse reads the same back: "64MiB", "1.5GiB",
// "1000".
func (s Size) Exact() string {
	for _, u := range []struct {
		name string
		size Size
	}{{"TiB", TiB}, {"GiB", GiB}, {"MiB", MiB}, {"KiB", KiB}} {
		if s < u.size {
			continue
		}
		r := big.NewRat(int64(s), int64(u.size))
		text := r.FloatString(2)
		if back, _ := new(big.Rat).SetString(text); back.Cmp(r) == 0 {
			return strings.TrimRight(strings.TrimRight(text, "0"), ".") + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

// Set is Parse for a flag.
func (s *Size) Set(text string) error {
	v, err := Parse(text)
	if err == nil {
		*s = v
	}
	return err
}

// Type names the kind of value in a flag's usage.
func (Size) Type() string { return "size" }

// UnmarshalText is Parse for a configuration file.
func (s *Size) UnmarshalText(text []byte) error { return s.Set(string(text)) }

// MarshalText is Exact.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.Exact()), nil }
