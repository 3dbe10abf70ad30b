package logtest

import (
	"bytes"
	"testing"

	"github.com/ftnet/ftnet/logserver"
)

// RunLender tests a log that is a [logserver.Lender], besides Run: bytes received
// in a loan are in the log once they are committed, and not before; wherever else in
// the loan they are, Write copies them. A loan's bytes are those of its place in the
// stream, also if others were written meanwhile, the data is discarded or the connection
// deleted.
func RunLender(t *testing.T, open Factory) {
	b := start(t, open, Limits{})
	lender, ok := b.Log.(logserver.Lender)
	if !ok {
		t.Fatal("not a logserver.Lender")
	}
	const n = 400
	if lender.Lend(12345, n) != nil {
		t.Error("a loan for a connection that is not there")
	}
	id := b.open(1)
	want := bytes.Repeat([]byte{'a'}, 3000) // larger than a loan: some room is left
	b.write(id, 0, want)
	if lender.Lend(id, 1<<30) != nil {
		t.Error("a loan of 1 GiB in one piece")
	}
	start := int64(0)
	for i, step := range []struct {
		skip    int  // bytes of the loan before what is written
		commit  bool // it, or else write it
		discard bool // all that is there meanwhile
	}{{commit: true}, {skip: 7}, {}, {commit: true, discard: true}, {commit: true}} {
		loan := lender.Lend(id, n)
		if loan == nil || len(loan.Bytes()) != n {
			t.Fatalf("loan %d: %v", i, loan)
		}
		p := loan.Bytes()
		for j := range p {
			p[j] = byte(j * (i + 3))
		}
		end := int64(len(want))
		if _, has, err := b.Length(id); err != nil || has != end {
			t.Fatalf("loan %d: end %d, %v before the write", i, has, err)
		}
		if step.discard {
			start = end
			b.must(b.Rebase(id, logserver.Base{In: start}))
		}
		p = p[step.skip : step.skip+200]
		next := append(want, p...)
		if step.commit {
			taken, err := loan.Commit(len(p))
			b.must(err)
			if taken != len(p) {
				t.Fatalf("loan %d: Commit took %d of %d bytes", i, taken, len(p))
			}
		} else {
			b.take(id, end, p)
		}
		b.await("data", func() bool { return b.stable[id] >= end+int64(len(p)) })
		want = next
		loan.Return()
		if step.discard { // again some room is left
			more := bytes.Repeat([]byte{'b'}, 3000)
			b.write(id, int64(len(want)), more)
			want = append(want, more...)
		}
	}
	got := make([]byte, 2*len(want))
	read, err := b.Read(id, got, start)
	b.must(err)
	if !bytes.Equal(got[:read], want[start:]) {
		t.Errorf("%d bytes read, %d written, or others", read, len(want[start:]))
	}
	b.must(b.Finish(id, int64(len(want))))
	if lender.Lend(id, n) != nil {
		t.Error("a loan behind the client's FIN")
	}
	other := b.open(2)
	b.write(other, 0, want)
	loan := lender.Lend(other, n)
	b.must(b.Delete(other))
	if _, err := loan.Commit(n); !isNoConn(err) {
		t.Errorf("Commit after Delete: %v", err)
	}
	loan.Return()
}
