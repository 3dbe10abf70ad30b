package table

import (
	"math"
	"slices"

	"github.com/ftnet/ftnet/logserver"
)

// Reads are a connection's recorded reads, told as runs.
type Reads struct {
	// From is the offset where Runs[0] begins, To the one where the last ends and the next
	// will begin. From lies below the start of the data only while Runs is empty.
	From, To int64
	Runs     []logserver.ReadRun
}

// Add appends reads, and reports whether that took another run.
func (l *Reads) Add(r logserver.ReadRun) bool {
	l.To += int64(r.Length) * int64(r.Count)
	return AppendRun(&l.Runs, r)
}

// AppendRun appends reads to runs, and reports whether that took another run.
func AppendRun(runs *[]logserver.ReadRun, r logserver.ReadRun) bool {
	if n := len(*runs); n > 0 {
		last := &(*runs)[n-1]
		if last.Length == r.Length && r.Count <= math.MaxUint32-last.Count {
			last.Count += r.Count
			return false
		}
	}
	*runs = append(*runs, r)
	return true
}

// Trim drops the reads below start and shortens the one that straddles it.
func (l *Reads) Trim(start int64) {
	n := 0
	for ; n < len(l.Runs) && l.From < start; n++ {
		run := l.Runs[n]
		whole := min((start-l.From)/int64(run.Length), int64(run.Count))
		l.From += whole * int64(run.Length)
		if whole == int64(run.Count) {
			continue
		}
		rest := []logserver.ReadRun{{Length: run.Length, Count: run.Count - uint32(whole)}}
		if cut := uint32(start - l.From); cut > 0 {
			rest = []logserver.ReadRun{{Length: run.Length - cut, Count: 1}, {Length: run.Length, Count: rest[0].Count - 1}}
			if rest[1].Count == 0 {
				rest = rest[:1]
			}
			l.From = start
		}
		l.Runs = slices.Replace(l.Runs, 0, n+1, rest...)
		return
	}
	l.Runs = slices.Delete(l.Runs, 0, n)
}

// Span is how many bytes the runs are.
func Span(runs []logserver.ReadRun) int64 {
	var n int64
	for _, r := range runs {
		n += int64(r.Length) * int64(r.Count)
	}
	return n
}
