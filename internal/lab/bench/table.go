package bench

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// Names of the rows.
const (
	speed      = "MiB/s"
	cpuSystem  = "CPU s/GiB, all"
	cpuServer  = "CPU s/GiB, server"
	cpuClient  = "CPU s/GiB, client"
	cpuEngine  = "CPU s/GiB, engine"
	echoP50    = "echo p50 µs"
	echoP99    = "echo p99 µs"
	connects   = "connections/s"
	crowdedP50 = "echo p50 µs beside idle connections"
	idleMemory = "engine bytes per idle connection"
	idleLog    = "log bytes per idle connection"
)

// Names of the rows of an unmodified server.
const (
	startTime = "kill to listening ms, unmodified, no connections"
	closing   = "closing, nginx replies/s"
	// closingLoopback: client and server in one namespace.
	closingLoopback = "closing over loopback, nginx replies/s"
)

// engineOf is the engine's part of a row of closing.
func engineOf(row string) string {
	return strings.TrimSuffix(row, ", nginx replies/s") + ", engine CPU µs each"
}

// Names of the rows of a log, each followed by the log's name.
const (
	uploadOf     = "upload MiB/s"
	echoOf       = "echo p50 µs"
	echo99Of     = "echo p99 µs"
	upcall50Of   = "upcall p50 µs"
	upcall99Of   = "upcall p99 µs"
	cpuLogServer = "CPU s/GiB, log server"

	// What the remote log is made of: TLS from the engine to the log server, and
	// the upload itself.
	streamRate = "TLS alone MiB/s"
	streamCPU  = "CPU s/GiB, TLS alone, both ends"
	plainCPU   = "CPU s/GiB, upload, everything"

	diskRate = "disk alone MiB/s, fdatasync per MiB"
	// diskShare compares the disk log with the smaller of plain TCP and the disk.
	diskShare = "upload, disk log, of the smaller of plain and disk"
)

// row is the name of the log's row.
func (k kind) row(what string) string { return what + ", " + k.name }

// onDisk reports whether the engine itself writes to a disk.
func (k kind) onDisk() bool { return strings.HasPrefix(k.url, "file:") }

// rows gives the log's rows their place in the table.
func (k kind) rows(t *Table) {
	if k.onDisk() {
		t.row(diskRate)
	}
	if k.store != "" {
		t.row(streamRate)
		t.row(streamCPU)
		t.row(plainCPU)
	}
	for _, what := range []string{uploadOf, cpuEngine, echoOf, echo99Of, upcall50Of, upcall99Of} {
		t.row(k.row(what))
	}
	if k.store != "" {
		t.row(k.row(cpuLogServer))
	}
	if k.onDisk() {
		t.row(diskShare)
	}
}

func rollMetric(l Load) string {
	return fmt.Sprintf("roll-forward MiB/s, unmodified, %d × %d MiB", l.Connections, l.Bytes>>20)
}

func loadedMetric(l Load) string {
	return fmt.Sprintf("longest pause ms, unmodified, %d × %d KiB", l.Connections, l.Bytes>>10)
}

// overMetric is the part of loadedMetric that the process's start is not.
func overMetric(l Load) string { return loadedMetric(l) + ", over the start" }

func pauseMetric(n int) string { return fmt.Sprintf("longest pause ms, %d connections", n) }

// bound is what a row is to reach.
type bound struct {
	text     string
	relative bool    // compares ftnet/plain rather than ftnet's own figure
	atLeast  bool    // otherwise at most
	limit    float64 // of the ratio or the figure
}

var bounds = map[string]bound{
	"upload " + speed:   {"≥ 0.85", true, true, 0.85},
	"download " + speed: {"≥ 0.95", true, true, 0.95},
	echoP50:             {"≤ 1.25", true, false, 1.25},
	connects:            {"≥ 0.50", true, true, 0.50},
	pauseMetric(1):      {"≤ 50 ms", false, false, 50},
	pauseMetric(1000):   {"≤ 1000 ms", false, false, 1000},
	idleMemory:          {"≤ 1024", false, false, 1024},

	rollMetric(Load{1, 512 << 20}):    {"≥ 300", false, true, 300},
	rollMetric(Load{64, 8 << 20}):     {"≥ 300", false, true, 300},
	overMetric(Load{1000, 100 << 10}): {"≤ 1000 ms", false, false, 1000},
	closingLoopback:                   {"≥ 0.50", true, true, 0.50},
	closing:                           {"≥ 0.50", true, true, 0.50},

	diskShare:                            {"≥ 0.90", false, true, 0.90},
	"upload MiB/s, remote log in memory": {"≥ 0.70", true, true, 0.70},
	"upload MiB/s, remote log on disk":   {"≥ 0.70", true, true, 0.70},
	"echo p50 µs, memory log":            {"≤ 1.30", true, false, 1.30},
	"echo p50 µs, disk log":              {"≤ 1.30", true, false, 1.30},
	"echo p50 µs, remote log in memory":  {"≤ 1.30", true, false, 1.30},
	"echo p50 µs, remote log on disk":    {"≤ 1.30", true, false, 1.30},
}

// Table holds all figures of a run.
type Table struct {
	rows    []*row
	against string   // heads the column of another commit; empty: there is none
	notes   []string // below the table: what was not measured, and why
}

// column is whose figures stand in it.
type column int

const (
	plainTCP column = iota
	against         // ftnet as of another commit
	ftnet
	columns
)

type row struct {
	name    string
	figures [columns][]float64
}

// row returns the named row; the order of the first calls is that of the table.
func (t *Table) row(name string) *row {
	i := slices.IndexFunc(t.rows, func(r *row) bool { return r.name == name })
	if i < 0 {
		i = len(t.rows)
		t.rows = append(t.rows, &row{name: name})
	}
	return t.rows[i]
}

func (t *Table) add(c column, name string, v float64) {
	r := t.row(name)
	r.figures[c] = append(r.figures[c], v)
}

// Write prints the medians side by side, with the ratio to plain TCP and what it is to
// be. A run against another commit has that one's column and ratio too, and what has
// become of it: ftnet's figure over the other commit's.
func (t *Table) Write(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	heads := []string{"median of each", "plain", "ftnet", "ratio", "bound"}
	if t.against != "" {
		heads = []string{"median of each", "plain", t.against, "ratio", "ftnet", "ratio", "change", "bound"}
	}
	fmt.Fprintln(w, strings.Join(heads, "\t")+"\t")
	for i, head := range heads {
		heads[i] = strings.Repeat("─", len(head))
	}
	fmt.Fprintln(w, strings.Join(heads, "\t")+"\t")
	for _, r := range t.rows {
		text, verdict := "", ""
		if b, ok := bounds[r.name]; ok && len(r.figures[ftnet]) > 0 {
			text, verdict = b.text, "ok"
			if !r.holds(b) {
				verdict = "SHORT"
			}
		}
		cells := []string{r.name, figure(r.figures[plainTCP])}
		if t.against != "" {
			cells = append(cells, figure(r.figures[against]), r.quotient(against, plainTCP))
		}
		cells = append(cells, figure(r.figures[ftnet]), r.quotient(ftnet, plainTCP))
		if t.against != "" {
			cells = append(cells, r.quotient(ftnet, against))
		}
		fmt.Fprintln(w, strings.Join(append(cells, text, verdict), "\t"))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, note := range t.notes {
		if _, err := fmt.Fprintln(out, note); err != nil {
			return err
		}
	}
	return nil
}

// Short returns the names of the rows that miss their bound.
func (t *Table) Short() (names []string) {
	for _, r := range t.rows {
		if b, ok := bounds[r.name]; ok && len(r.figures[ftnet]) > 0 && !r.holds(b) {
			names = append(names, r.name)
		}
	}
	return names
}

func (r *row) ratio(of, to column) float64 { return median(r.figures[of]) / median(r.figures[to]) }

// quotient is ratio in words.
func (r *row) quotient(of, to column) string {
	if len(r.figures[of]) == 0 || len(r.figures[to]) == 0 {
		return "–"
	}
	return fmt.Sprintf("%.2f", r.ratio(of, to))
}

func (r *row) holds(b bound) bool {
	v := median(r.figures[ftnet])
	if b.relative {
		v = r.ratio(ftnet, plainTCP)
	}
	if b.atLeast {
		return v >= b.limit
	}
	return v <= b.limit
}

func figure(v []float64) string {
	switch m := median(v); {
	case len(v) == 0:
		return "–"
	case m >= 100:
		return fmt.Sprintf("%.0f", m)
	case m >= 10:
		return fmt.Sprintf("%.1f", m)
	default:
		return fmt.Sprintf("%.2f", m)
	}
}

func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(v))
	if n := len(s); n%2 == 0 {
		return (s[n/2-1] + s[n/2]) / 2
	}
	return s[len(s)/2]
}
