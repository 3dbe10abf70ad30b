//go:build linux

package journal

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/internal/policy"
)

// The kill test runs a child that hammers a journal as a server process would
// and is SIGKILLed at random moments. What the "kernel" took and what the
// "application" saw is noted in a second shared memory, so the parent can hold
// the journal against it: output in the kernel is always recorded, and the
// record always repeats what the child had done.

const (
	killConns = 8
	killPages = 4096
	killEnv   = "FTNET_JOURNAL_TEST_CHILD"
)

// truth is what really happened to one connection.
type truth struct{ taken, reads, inputs uint64 }

func truths(t testing.TB, fd int) []truth {
	mem, err := unix.Mmap(fd, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	return unsafe.Slice((*truth)(unsafe.Pointer(&mem[0])), killConns)
}

// outByte and readLen are what connection c's handler always does.
func outByte(c int, off int64) byte { return byte(off*7 + off>>8*13 + int64(c)) }
func readLen(c, i int) int          { return 1 + (i/5*31+c)%900 }

// inputOf is the i'th input of connection c: some are large, some repeat the one before.
func inputOf(c, i int) (Kind, []byte) {
	if i%7 < 4 {
		return ReadTimeout, nil
	}
	return Kind(10 + c), bytes.Repeat([]byte{byte(i)}, i*i%3000)
}

func TestMain(m *testing.M) {
	if os.Getenv(killEnv) != "" {
		killChild()
	}
	if os.Getenv(adoptEnv) != "" {
		engineChild()
	}
	os.Exit(m.Run())
}

func childFail(format string, args ...any) {
	fmt.Printf("FAIL "+format+"\n", args...)
	os.Exit(1)
}

func killChild() {
	m, err := Open(3)
	if err != nil {
		childFail("open: %v", err)
	}
	tr := truths(nil, 4)
	rng := rand.New(rand.NewPCG(uint64(os.Getpid()), 0))
	var recs [killConns]*Record
	var reads, inputs [killConns]int
	for c := range killConns {
		rec, ok := m.Lookup(flow(c))
		if !ok || !rec.Accept(policy.CompareStrict) {
			childFail("connection %d: lookup or accept failed", c)
		}
		recs[c] = rec
		r := rec.Reads(0)
		for n := r.Left(); n > 0; n = r.Left() {
			if n != readLen(c, reads[c]) {
				childFail("connection %d: read %d was %d, want %d", c, reads[c], n, readLen(c, reads[c]))
			}
			r.Consume(n)
			reads[c]++
		}
		for _, in := range rec.Inputs() {
			for range in.Count {
				kind, p := inputOf(c, inputs[c])
				if in.Kind != kind || !bytes.Equal(in.Bytes, p) {
					childFail("connection %d: input %d is kind %d, %d bytes", c, inputs[c], in.Kind, len(in.Bytes))
				}
				inputs[c]++
			}
		}
		if n := int(tr[c].inputs); inputs[c] < n || inputs[c] > n+1 {
			childFail("connection %d: %d inputs recorded, %d seen", c, inputs[c], n)
		}
		if reads[c] < int(tr[c].reads) {
			childFail("connection %d: %d reads recorded, %d delivered", c, reads[c], tr[c].reads)
		}
		v := rec.Verifier(0)
		if v.End() < int64(tr[c].taken) {
			childFail("connection %d: output recorded to %d, kernel took %d", c, v.End(), tr[c].taken)
		}
		p := make([]byte, v.End())
		for i := range p {
			p[i] = outByte(c, int64(i))
		}
		if mm := v.Write(p); mm != nil {
			childFail("connection %d of %d bytes: %v", c, v.End(), mm)
		}
	}
	fmt.Println("ready")
	buf := make([]byte, 8*BlockSize)
	for {
		c := rng.IntN(killConns)
		rec := recs[c]
		if rec.Recorded() > 1<<18 || reads[c] > 20000 {
			continue
		}
		kind, input := inputOf(c, inputs[c])
		if err := rec.RecordInput(kind, input); err == nil {
			inputs[c]++
			atomic.StoreUint64(&tr[c].inputs, uint64(inputs[c]))
		} else if !errors.Is(err, ErrInputs) {
			childFail("connection %d, input %d: %v", c, inputs[c], err)
		}
		rec.RecordRead(readLen(c, reads[c]))
		reads[c]++
		atomic.StoreUint64(&tr[c].reads, uint64(reads[c]))
		p := buf[:1+rng.IntN(1+rng.IntN(len(buf)))]
		start := rec.Recorded()
		for i := range p {
			p[i] = outByte(c, start+int64(i))
		}
		rec.Intend(p)
		n := len(p)
		if rng.IntN(2) == 0 {
			n = rng.IntN(len(p))
		}
		atomic.StoreUint64(&tr[c].taken, max(atomic.LoadUint64(&tr[c].taken), uint64(start)+uint64(n)))
		if n == len(p) {
			rec.Commit()
		} else {
			rec.Rollback(p, n)
		}
	}
}

func TestKilledAtAnyInstruction(t *testing.T) {
	j, err := Create(killConns, killPages)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	fd, err := unix.MemfdCreate("truth", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	truthFile := os.NewFile(uintptr(fd), "truth")
	defer truthFile.Close()
	truthFile.Truncate(4096)
	tr := truths(t, fd)
	dup, err := unix.FcntlInt(uintptr(j.Fd()), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	journalFile := os.NewFile(uintptr(dup), "journal")
	defer journalFile.Close()

	rng := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))
	rounds := 60
	if testing.Short() {
		rounds = 10
	}
	var total uint64
	for round := range rounds {
		for c := range uint32(killConns) {
			if h, ok := j.Head(c); ok {
				taken := int64(tr[c].taken)
				// Now and then a connection ends instead of being recovered.
				if rng.IntN(4) == 0 {
					total += tr[c].taken
					j.Withdraw(c)
					tr[c] = truth{}
				} else if err := j.PrepareRecovery(c, Base{}, rng.Int64N(taken+1), taken, 0); err != nil {
					t.Fatalf("round %d, %+v, taken %d: %v", round, h, taken, err)
				}
			}
			if _, ok := j.Head(c); !ok {
				if err := j.Publish(c, uint32(round), flow(int(c))); err != nil {
					t.Fatal(err)
				}
			}
		}
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), killEnv+"=1")
		cmd.ExtraFiles = []*os.File{journalFile, truthFile}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		line, _ := bufio.NewReader(out).ReadString('\n')
		if line == "ready\n" {
			time.Sleep(time.Duration(rng.IntN(3000)) * time.Microsecond) // the random moment itself
		}
		cmd.Process.Kill()
		cmd.Wait()
		if line != "ready\n" {
			t.Fatalf("round %d: child says %q", round, line)
		}
		j.Sweep()
		for c := range uint32(killConns) {
			if h, _ := j.Head(c); h.Overflow || uint64(h.Recorded) < tr[c].taken {
				t.Fatalf("round %d: %+v, kernel took %d", round, h, tr[c].taken)
			}
		}
	}
	for c := range uint32(killConns) {
		j.Withdraw(c)
	}
	if got := freePages(j); got != killPages {
		t.Fatalf("%d of %d pages free in the end", got, killPages)
	}
	if total == 0 {
		t.Fatal("nothing happened")
	}
}

// An idle connection touches its head and its index entry and no page.
func TestIdleConnectionIsSmall(t *testing.T) {
	const conns = 20000
	j, err := Create(conns, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	m, err := Open(j.Fd())
	if err != nil {
		t.Fatal(err)
	}
	for c := range conns {
		rec := accept(t, j, m, uint32(c), policy.CompareStrict)
		rec.RecordRead(20)
		rec.Intend(make([]byte, 20))
		rec.Commit()
	}
	var st unix.Stat_t
	if err := unix.Fstat(j.Fd(), &st); err != nil {
		t.Fatal(err)
	}
	per := st.Blocks * 512 / conns
	t.Logf("%d bytes of shared memory for each idle connection", per)
	if per > 600 {
		t.Fatalf("%d bytes for each idle connection", per)
	}
}

func TestSizeIsSealed(t *testing.T) {
	j, err := Create(1, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	if err := unix.Ftruncate(j.Fd(), 0); err == nil {
		t.Fatal("a server process could shrink the journal")
	}
}
