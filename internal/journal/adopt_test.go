//go:build linux

package journal

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/internal/policy"
)

// die forgets what an engine knows and keeps the memory's descriptor.
func die(t *testing.T, j *Journal) (fd int) {
	t.Helper()
	fd, err := unix.Dup(j.Fd())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	return fd
}

func created(t *testing.T, conns, pages int) (*Journal, *Map) {
	t.Helper()
	j, err := Create(conns, pages)
	if err != nil {
		t.Fatal(err)
	}
	m, err := Open(j.Fd())
	if err != nil {
		t.Fatal(err)
	}
	return j, m
}

// TestAdopt: the next engine knows each connection, and the process goes on
// with the records that it has.
func TestAdopt(t *testing.T) {
	j, m := created(t, 64, 256)
	records := map[uint32]*Record{}
	for slot := range uint32(6) {
		records[slot] = accept(t, j, m, slot, policy.CompareStrict)
		records[slot].RecordRead(int(slot) + 1)
		records[slot].Intend([]byte("before "))
		records[slot].Commit()
	}
	if err := j.Publish(40, 41, flow(40)); err != nil { // not accepted yet
		t.Fatal(err)
	}
	j.Withdraw(0) // held by the process
	j.Withdraw(1)
	records[1].Release()
	records[2].Closing()
	records[3].Release()
	fd := die(t, j)
	records[4].RecordRead(700)
	if err := records[4].RecordInput(7, []byte("meanwhile")); err != nil {
		t.Fatal(err)
	}
	records[4].Intend([]byte("meanwhile "))
	records[4].Commit()

	j, err := Adopt(fd, 64, 256)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	if got, want := j.Slots(), []uint32{2, 3, 4, 5, 40}; !slices.Equal(got, want) {
		t.Fatalf("slots %v, want %v", got, want)
	}
	for slot, want := range map[uint32]State{2: Closing, 3: Accepted, 4: Accepted, 5: Accepted, 40: Bound} {
		h, ok := j.Head(slot)
		if !ok || h.State != want || h.Flow != flow(int(slot)) || h.Gen != slot+1 {
			t.Errorf("slot %d: %+v", slot, h)
		}
	}
	if h, _ := j.Head(4); h.Recorded != int64(len("before meanwhile ")) || h.AcceptSeq != 5 {
		t.Errorf("slot 4: %+v", h)
	}
	if u := j.Usage(); u.Conns != 5 || u.PutOff != 1 {
		t.Errorf("usage %+v", u)
	}
	if got := fmt.Sprint(j.Inputs(4)); got != "[{7 1 705 7 [109 101 97 110 119 104 105 108 101]}]" {
		t.Errorf("inputs of slot 4: %s", got)
	}
	reaccept(t, m, 40, policy.CompareStrict)
	rec := accept(t, j, m, 7, policy.CompareStrict)
	if rec.AcceptSeq() != 8 {
		t.Errorf("the next connection is the %d.", rec.AcceptSeq())
	}
	records[4].Intend([]byte("after"))
	records[4].Commit()
	stream := []byte("before meanwhile after")
	if err := j.PrepareRecovery(4, Base{}, 0, int64(len(stream)), 0); err != nil {
		t.Fatal(err)
	}
	if v := reaccept(t, m, 4, policy.CompareStrict).Verifier(0); v.Write(stream) != nil || v.Pos() != v.End() {
		t.Error("what was written under both engines cannot be verified")
	}
	for _, slot := range j.Slots() {
		j.Withdraw(slot)
	}
	for _, r := range records {
		r.Release()
	}
}

// TestAdoptCostsWhatIsUsed: sparse memory stays sparse.
func TestAdoptCostsWhatIsUsed(t *testing.T) {
	j, m := created(t, 1<<20, 1<<20)
	accept(t, j, m, 3, policy.CompareStrict)
	fd := die(t, j)
	blocks := func() int64 {
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			t.Fatal(err)
		}
		return st.Blocks * 512
	}
	before := blocks()
	j, err := Adopt(fd, 1<<20, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	if len(j.heads) > superSize/headSize {
		t.Errorf("%d heads are thought to be used", len(j.heads))
	}
	index := int64(j.r.indexLen) * 8
	if grown := blocks() - before; grown > index+superSize {
		t.Errorf("%d bytes more of memory, the index has %d", grown, index)
	}
}

func TestAdoptRefuses(t *testing.T) {
	j, _ := created(t, 64, 256)
	fd := die(t, j)
	if _, err := Adopt(fd, 63, 256); err == nil {
		t.Error("more connections than allowed")
	}
	if _, err := Adopt(fd, 64, 255); err == nil {
		t.Error("more pages than allowed")
	}
	memfd := func(size int64, seals int, flags ...int) int {
		fd, err := unix.MemfdCreate("journal-test", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING|append(flags, 0)[0])
		if errors.Is(err, unix.ENOSYS) && len(flags) > 0 { // a kernel without huge pages
			return -1
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Close(fd) })
		if err := unix.Ftruncate(fd, size); err != nil {
			t.Fatal(err)
		}
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals); err != nil {
			t.Fatal(err)
		}
		return fd
	}
	fixed := unix.F_SEAL_SHRINK | unix.F_SEAL_GROW
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	for name, fd := range map[string]int{
		"none": -1, "a device": int(null.Fd()), "empty": memfd(0, fixed), "small": memfd(100, fixed),
		"zeros": memfd(1<<20, fixed), "can shrink": memfd(1<<20, unix.F_SEAL_GROW),
		"huge pages, of which there may be none": memfd(1<<30, fixed, unix.MFD_HUGETLB),
	} {
		if _, err := Adopt(fd, 64, 256); err == nil {
			t.Errorf("%s: adopted", name)
		}
	}
}

// TestAdoptHostile: whatever a process has written, its journal is adopted
// without a panic, and no slot is there twice.
func TestAdoptHostile(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		j, m := created(t, 32, 64)
		for slot := range uint32(20) {
			rec := accept(t, j, m, slot, policy.CompareStrict)
			rec.Intend(bytes.Repeat([]byte{1}, 3000))
			rec.Commit()
		}
		for range 500 {
			at := superSize + rng.IntN(len(m.r.mem)-superSize)
			m.r.mem[at] = byte(rng.Uint32())
		}
		for i := range uint32(20) { // the same slot again and again
			if rng.IntN(4) == 0 {
				m.r.head(i).slot = 7
			}
		}
		j, err := Adopt(die(t, j), 32, 64)
		if err != nil {
			t.Fatal(err)
		}
		slots := j.Slots()
		if len(slots) != j.Usage().Conns {
			t.Fatalf("slots %v, usage %+v", slots, j.Usage())
		}
		for _, slot := range slots {
			if _, ok := j.Head(slot); !ok {
				t.Errorf("slot %d has no head", slot)
			}
			_ = j.SkipReads(slot, int64(rng.IntN(1000)))
			j.Withdraw(slot)
		}
		j.Sweep()
		for slot := range uint32(32) {
			if err := j.Publish(slot, 100, flow(int(slot))); err != nil {
				t.Fatal(err)
			}
		}
		j.Close()
	}
}

func TestSkipReads(t *testing.T) {
	j, m := heap(t, 8, 64)
	rec := accept(t, j, m, 1, policy.CompareStrict)
	var want []uint32
	total := int64(0)
	for i := range 700 {
		n := uint32(1 + i/3%5)
		rec.RecordRead(int(n))
		want = append(want, n)
		total += int64(n)
	}
	for i, at := 0, int64(0); i <= len(want); i++ {
		j.heads[0].returned = readsEnd{}
		if err := j.SkipReads(1, at); err != nil {
			t.Fatalf("after %d reads: %v", i, err)
		}
		var got []uint32
		for {
			lengths, sum := j.NewReads(1, make([]uint32, 0, 100))
			got = append(got, lengths...)
			if len(lengths) == 0 {
				if sum != total {
					t.Fatalf("after %d reads: %d bytes told of %d", i, sum, total)
				}
				break
			}
		}
		if !slices.Equal(got, want[i:]) {
			t.Fatalf("after %d reads: %d are left, want %d", i, len(got), len(want)-i)
		}
		if i < len(want) {
			at += int64(want[i])
		}
	}
	j.heads[0].returned = readsEnd{}
	if err := j.SkipReads(1, total-1); want[len(want)-1] > 1 && !errors.Is(err, ErrInconsistent) {
		t.Errorf("in the middle of a read: %v", err)
	}
	if err := j.SkipReads(1, total+1); !errors.Is(err, ErrInconsistent) {
		t.Errorf("beyond the record: %v", err)
	}
	if err := j.SkipReads(2, 0); !errors.Is(err, ErrSlot) {
		t.Errorf("unknown slot: %v", err)
	}
}

const adoptEnv = "FTNET_JOURNAL_TEST_ENGINE"

// engineChild publishes and withdraws connections until it is killed.
func engineChild() {
	j, err := Adopt(3, killConns, killPages)
	if err != nil {
		childFail("adopt: %v", err)
	}
	os.Stdout.WriteString("ready\n")
	rng := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
	for gen := uint32(1); ; gen++ {
		slot := uint32(rng.IntN(killConns))
		if rng.IntN(20) == 0 {
			j.rebuild()
		}
		if j.headOf(slot) == nil {
			_ = j.Publish(slot, gen, flow(rng.IntN(100)))
		} else {
			j.Withdraw(slot)
		}
	}
}

// TestEngineKilled kills an engine at random moments while a server process
// accepts and records: the next one finds a journal that it can go on with.
func TestEngineKilled(t *testing.T) {
	j, m := created(t, killConns, killPages)
	fd := die(t, j)
	stop, done := make(chan struct{}), make(chan struct{})
	go func() { // the server process
		defer close(done)
		rng := rand.New(rand.NewPCG(3, 4))
		held := map[*Record]bool{}
		for {
			select {
			case <-stop:
				for rec := range held {
					rec.Release()
				}
				return
			default:
			}
			if rec, ok := m.Lookup(flow(rng.IntN(100))); ok && rec.Accept(policy.CompareStrict) {
				held[rec] = true
			}
			for rec := range held {
				rec.RecordRead(1 + rng.IntN(100))
				rec.Intend(make([]byte, rng.IntN(2000)))
				rec.Commit()
				if err := rec.RecordInput(Kind(1+rng.IntN(2)), make([]byte, rng.IntN(2000))); err != nil && !errors.Is(err, ErrInputs) {
					t.Error(err)
				}
				if rng.IntN(3) == 0 {
					rec.Release()
					delete(held, rec)
				}
			}
		}
	}()
	rounds := 40
	if testing.Short() {
		rounds = 5
	}
	own, err := unix.Dup(fd)
	if err != nil {
		t.Fatal(err)
	}
	memory := os.NewFile(uintptr(own), "journal")
	defer memory.Close()
	for range rounds {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), adoptEnv+"=1")
		cmd.ExtraFiles = []*os.File{memory}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		word := make([]byte, 100)
		n, _ := out.Read(word)
		time.Sleep(time.Duration(rand.IntN(5000)) * time.Microsecond)
		cmd.Process.Kill()
		cmd.Wait()
		if !strings.HasPrefix(string(word[:n]), "ready") {
			t.Fatalf("the engine says %q", word[:n])
		}
		j, err := Adopt(fd, killConns, killPages)
		if err != nil {
			t.Fatal(err)
		}
		u := j.Usage()
		if len(j.Slots()) != u.Conns || u.Conns+u.PutOff+len(j.free) != len(j.heads) {
			t.Errorf("slots %v, usage %+v, %d of %d heads free", j.Slots(), u, len(j.free), len(j.heads))
		}
		for _, slot := range j.Slots() {
			checkInputs(t, j.Inputs(slot))
			h, _ := j.Head(slot)
			if _, ok := m.Lookup(h.Flow); !ok && h.State == Bound {
				// Two slots may have one flow; then one of them is found.
				if h, _ = j.Head(slot); h.State == Bound {
					t.Errorf("slot %d is bound and not found", slot)
				}
			}
		}
		j.Close()
	}
	close(stop)
	<-done
	j, err = Adopt(fd, killConns, killPages)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	for _, slot := range j.Slots() {
		j.Withdraw(slot)
	}
	for slot := range uint32(killConns) {
		if err := j.Publish(slot, 1, flow(int(slot))); err != nil {
			t.Errorf("slot %d: %v", slot, err)
		}
	}
	j.Sweep()
	if got, inputs := freePages(j), j.r.super().inputPages; got != killPages || inputs != 0 {
		t.Errorf("%d of %d pages free in the end, %d count as those of inputs", got, killPages, inputs)
	}
}

// TestBaseAdopted: an engine that takes the memory over tells the log of reads from where the log's end.
func TestBaseAdopted(t *testing.T) {
	j, _ := created(t, 4, 64)
	if err := j.Restore(1, 1, flow(1), 1000, []ReadRun{{3, 1}, {5, 1}}); err != nil {
		t.Fatal(err)
	}
	again, err := Adopt(die(t, j), 4, 64)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.SkipReads(1, 1003); err != nil {
		t.Fatal(err)
	}
	if lengths, total := again.NewReads(1, make([]uint32, 0, 8)); !slices.Equal(lengths, []uint32{5}) || total != 1008 {
		t.Errorf("told are %v, up to %d", lengths, total)
	}
	if err := again.SkipReads(1, 1007); !errors.Is(err, ErrInconsistent) {
		t.Errorf("within a read: %v", err)
	}
}
