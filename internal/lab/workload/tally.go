package workload

import (
	"fmt"
	"hash"
	"hash/fnv"
	"math/rand/v2"
	"strconv"
)

// tally computes what examples/counter must answer. It is written from that
// program's description, not from its code.
type tally struct {
	number, sum int64
	hash        hash.Hash64
}

func newTally() *tally { return &tally{hash: fnv.New64a()} }

// add returns the reply to the next line, which ends in a line feed.
func (t *tally) add(line []byte) string {
	t.number++
	if v, err := strconv.ParseInt(string(line[:len(line)-1]), 10, 64); err == nil {
		t.sum += v
	}
	t.hash.Write(line)
	return fmt.Sprintf("%d %d %016x\n", t.number, t.sum, t.hash.Sum64())
}

// lines makes lines of all lengths, half of them numbers.
type lines struct {
	rnd *rand.Rand
	max int
	buf []byte
}

func newLines(rnd *rand.Rand, max int) *lines { return &lines{rnd: rnd, max: max} }

// next returns a line that is valid until the next call.
func (l *lines) next() []byte {
	l.buf = l.buf[:0]
	if l.rnd.IntN(2) == 0 {
		l.buf = strconv.AppendInt(l.buf, l.rnd.Int64()>>l.rnd.IntN(63)-l.rnd.Int64N(1000), 10)
	} else {
		for n := l.rnd.IntN(l.max); n > 0; n-- {
			l.buf = append(l.buf, 'a'+byte(l.rnd.IntN(26)))
		}
	}
	return append(l.buf, '\n')
}
