package logbench

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// Table holds all figures of a run: rows are what was measured, columns are the
// disk and the logs.
type Table struct {
	columns []string
	rows    []row
}

type row struct {
	name   string
	values map[string][]float64
}

// column adds a column if there is none of that name.
func (t *Table) column(name string) {
	if !slices.Contains(t.columns, name) {
		t.columns = append(t.columns, name)
	}
}

func (t *Table) add(column, name string, v float64) {
	t.column(column)
	i := slices.IndexFunc(t.rows, func(r row) bool { return r.name == name })
	if i < 0 {
		i = len(t.rows)
		t.rows = append(t.rows, row{name, map[string][]float64{}})
	}
	t.rows[i].values[column] = append(t.rows[i].values[column], v)
}

// Median returns a row's median for a log, or false if it was not measured.
func (t *Table) Median(column, name string) (float64, bool) {
	for _, r := range t.rows {
		if r.name == name && len(r.values[column]) > 0 {
			return median(r.values[column]), true
		}
	}
	return 0, false
}

// Write prints the medians side by side, each with the least and the greatest
// value if there are several.
func (t *Table) Write(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "median (least–greatest)\t%s\t\n", strings.Join(t.columns, "\t"))
	for _, r := range t.rows {
		fmt.Fprint(w, r.name, "\t")
		for _, c := range t.columns {
			fmt.Fprint(w, cell(r.values[c]), "\t")
		}
		fmt.Fprintln(w)
	}
	return w.Flush()
}

func cell(v []float64) string {
	switch len(v) {
	case 0:
		return "–"
	case 1:
		return figure(v[0])
	}
	return fmt.Sprintf("%s (%s–%s)", figure(median(v)), figure(slices.Min(v)), figure(slices.Max(v)))
}

func figure(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.2f", v)
	}
}

func median(v []float64) float64 {
	s := slices.Sorted(slices.Values(v))
	if n := len(s); n%2 == 0 {
		return (s[n/2-1] + s[n/2]) / 2
	}
	return s[len(s)/2]
}
