package disk

import (
	"math"
	"slices"

	"github.com/ftnet/ftnet/logserver"
)

// readLog is a connection's recorded reads, told as runs.
type readLog struct {
	// from is the offset where runs[0] begins, to the one where the last ends
	// and the next will begin. from lies below the start of the data only while
	// runs is empty.
	from, to int64
	runs     []logserver.ReadRun
}

// add appends reads, and reports whether that took another run.
func (l *readLog) add(r logserver.ReadRun) bool {
	l.to += int64(r.Length) * int64(r.Count)
	return appendRun(&l.runs, r)
}

func appendRun(runs *[]logserver.ReadRun, r logserver.ReadRun) bool {
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

// trim drops the reads below start and shortens the one that straddles it.
func (l *readLog) trim(start int64) {
	n := 0
	for ; n < len(l.runs) && l.from < start; n++ {
		run := l.runs[n]
		whole := min((start-l.from)/int64(run.Length), int64(run.Count))
		l.from += whole * int64(run.Length)
		if whole == int64(run.Count) {
			continue
		}
		rest := []logserver.ReadRun{{Length: run.Length, Count: run.Count - uint32(whole)}}
		if cut := uint32(start - l.from); cut > 0 {
			rest = []logserver.ReadRun{{Length: run.Length - cut, Count: 1}, {Length: run.Length, Count: rest[0].Count - 1}}
			if rest[1].Count == 0 {
				rest = rest[:1]
			}
			l.from = start
		}
		l.runs = slices.Replace(l.runs, 0, n+1, rest...)
		return
	}
	l.runs = slices.Delete(l.runs, 0, n)
}

func span(runs []logserver.ReadRun) int64 {
	var n int64
	for _, r := range runs {
		n += int64(r.Length) * int64(r.Count)
	}
	return n
}
