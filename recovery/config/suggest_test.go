package config

import "testing"

func TestNearest(t *testing.T) {
	keys := []string{"name", "listen", "restart", "on-full", "log", "env"}
	for text, want := range map[string]string{
		"nmae": "name", "Listen": "listen", "listne": "listen", "restrat": "restart", "on_full": "on-full", "lgo": "log", "evn": "env",
		"": "", "x": "", "frobnicate": "", "logging-of-all": "",
	} {
		if got, _ := nearest(text, keys); got != want {
			t.Errorf("nearest(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestDistance(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"a", "", 1}, {"", "ab", 2}, {"abc", "abc", 0}, {"abc", "abd", 1}, {"abc", "acb", 1}, {"kitten", "sitting", 3}, {"ca", "abc", 3},
	} {
		if got := distance(test.a, test.b); got != test.want {
			t.Errorf("distance(%q, %q) = %d, want %d", test.a, test.b, got, test.want)
		}
		if distance(test.a, test.b) != distance(test.b, test.a) {
			t.Errorf("distance(%q, %q) is not symmetric", test.a, test.b)
		}
	}
}

func TestRepairDuration(t *testing.T) {
	for text, want := range map[string]string{
		"10": "10s", "10 sec": "10s", "1 Minute 30 seconds": "1m30s", "5 ms": "5ms", "2 days": "48h", "1.5 hours": "1.5h", "100msec": "100ms",
		"": "", "soon": "", "10 parsecs": "", "-5": "", "9e9": "", "99999999999999999999d": "", "1s!": "",
	} {
		if got, ok := repairDuration(text); got != want && (ok || want != "") || ok != (want != "") {
			t.Errorf("repairDuration(%q) = %q, %v, want %q", text, got, ok, want)
		}
	}
}
