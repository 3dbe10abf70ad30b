package policy

import (
	"encoding/json"
	"testing"
)

// TestCompareText: the text of each value is read back, and what is no value is refused.
func TestCompareText(t *testing.T) {
	for _, want := range []Compare{CompareStrict, CompareLength} {
		text, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var got Compare
		if err := json.Unmarshal(text, &got); err != nil || got != want {
			t.Errorf("%s is read as %v: %v", text, got, err)
		}
	}
	if text, err := json.Marshal(Compare(2)); err == nil {
		t.Errorf("%s", text)
	}
	got := CompareLength
	if err := json.Unmarshal([]byte(`"loose"`), &got); err == nil || got != CompareLength {
		t.Errorf("an unknown name is read as %v: %v", got, err)
	}
}
