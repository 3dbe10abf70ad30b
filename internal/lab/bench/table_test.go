package bench

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTableJudges(t *testing.T) {
	var table Table
	for _, v := range []float64{90, 100, 400} {
		table.add(plainTCP, "upload "+speed, v)
	}
	for _, v := range []float64{80, 90} { // 0.85 of the median, just enough
		table.add(ftnet, "upload "+speed, v)
	}
	table.add(ftnet, pauseMetric(1), 51)
	table.add(plainTCP, echoP50, 10) // no ftnet figure: no verdict
	var b strings.Builder
	if err := table.Write(&b); err != nil {
		t.Fatal(err)
	}
	if got := table.Short(); len(got) != 1 || got[0] != pauseMetric(1) {
		t.Errorf("short: %v", got)
	}
	for _, want := range []string{"100  ", "85.0", "0.85", "ok", "SHORT"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is not in the table:\n%s", want, &b)
		}
	}
}

// TestTableAgainst: what another commit has reached, and what has become of it.
func TestTableAgainst(t *testing.T) {
	table := Table{against: "1234abc"}
	for of, v := range []float64{plainTCP: 200, against: 150, ftnet: 160} {
		table.add(column(of), "upload "+speed, v)
	}
	table.add(against, idleMemory, 500)
	var b strings.Builder
	if err := table.Write(&b); err != nil {
		t.Fatal(err)
	}
	var got [][]string
	for line := range strings.Lines(b.String()) {
		got = append(got, strings.Fields(line))
	}
	want := [][]string{
		strings.Fields("median of each plain 1234abc ratio ftnet ratio change bound"),
		got[1],
		strings.Fields("upload MiB/s 200 150 0.75 160 0.80 1.07 ≥ 0.85 SHORT"),
		strings.Fields("engine bytes per idle connection – 500 – – – –"),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
