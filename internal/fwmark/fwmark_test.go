package fwmark

import "testing"

func TestParse(t *testing.T) {
	for s, want := range map[string]Mark{
		"16": {16, 1<<32 - 1}, "0x10/0xff": {16, 255}, "0/0xf0": {0, 240}, "0xffffffff": {1<<32 - 1, 1<<32 - 1},
	} {
		got, err := Parse(s)
		if err != nil || got != want {
			t.Errorf("Parse(%q) = %v, %v", s, got, err)
		}
		if again, err := Parse(got.String()); err != nil || again != got {
			t.Errorf("%v became %v, %v", got, again, err)
		}
	}
	for _, s := range []string{"", "x", "-1", "0x100000000", "1/", "/1", "0x11/0xf0", "1/2/3"} {
		if m, err := Parse(s); err == nil {
			t.Errorf("Parse(%q) = %v", s, m)
		}
	}
}

func TestApply(t *testing.T) {
	if got := (Mark{0x20, 0xf0}).Apply(0x1234); got != 0x1224 {
		t.Errorf("%#x", got)
	}
	if got := (Mark{}).Apply(0x1234); got != 0x1234 {
		t.Errorf("%#x", got)
	}
}
