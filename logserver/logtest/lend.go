package logtest

import (
	"bytes"
	"testing"

	"github.com/ftnet/ftnet/logserver"
)

// RunLender tests a log that is a [logserver.Lender], besides Run: bytes received
// in a loan are in the log once they are written, and not before; wherever else in
// the loan they are, Write copies them.
func RunLender(t *testing.T, open Factory) {
	b := start(t, open, Limits{})
	lender, ok := b.Log.(logserver.Lender)
	if !ok {
		t.Fatal("not a logserver.Lender")
	}
	const n = 400
	if loan := lender.Lend(12345, n); loan.Bytes != nil {
		t.Error("a loan for a connection that is not there")
	}
	id := b.open(1)
	want := bytes.Repeat([]byte{'a'}, 3000) // larger than a loan: some room is left
	b.write(id, 0, want)
	if loan := lender.Lend(id, 1<<30); loan.Bytes != nil {
		t.Error("a loan of 1 GiB in one piece")
	}
	for i, skip := range []int{0, 7, 0} {
		loan := lender.Lend(id, n)
		if len(loan.Bytes) != n {
			t.Fatalf("loan %d: %d bytes", i, len(loan.Bytes))
		}
		for j := range loan.Bytes {
			loan.Bytes[j] = byte(j * (i + 3))
		}
		if _, end, err := b.Length(id); err != nil || end != int64(len(want)) {
			t.Fatalf("loan %d: end %d, %v before the write", i, end, err)
		}
		p := loan.Bytes[skip : skip+200]
		next := append(want, p...)
		b.write(id, int64(len(want)), p)
		want = next
		loan.Return()
	}
	got := make([]byte, 2*len(want))
	read, err := b.Read(id, got, 0)
	b.must(err)
	if !bytes.Equal(got[:read], want) {
		t.Errorf("%d bytes read, %d written, or others", read, len(want))
	}
}
