package memory

import (
	"syscall"
	"unsafe"
)

// dontDump is MADV_DONTDUMP.
const dontDump = 16

// mapPages reserves n bytes outside the Go heap, aligned to slabSize. Memory
// is taken only as it is touched. whole is what unmapPages wants back.
func mapPages(n int) (aligned, whole []byte, err error) {
	whole, err = syscall.Mmap(-1, 0, n+slabSize, syscall.PROT_READ|syscall.PROT_WRITE,
		syscall.MAP_PRIVATE|syscall.MAP_ANON|syscall.MAP_NORESERVE)
	if err != nil {
		return nil, nil, err
	}
	// Client data is not to be found in a core dump. Best effort, as is all
	// advice to the kernel here.
	_ = syscall.Madvise(whole, dontDump)
	skip := int(-uintptr(unsafe.Pointer(&whole[0])) & (slabSize - 1))
	return whole[skip : skip+n : skip+n], whole, nil
}

func unmapPages(whole []byte) error { return syscall.Munmap(whole) }

// preferHuge asks for huge pages (or for small ones): a huge page makes first
// use several times cheaper, but costs all of itself at the first touch.
func preferHuge(mem []byte, yes bool) {
	advice := syscall.MADV_NOHUGEPAGE
	if yes {
		advice = syscall.MADV_HUGEPAGE
	}
	_ = syscall.Madvise(mem, advice)
}

// returnPages gives the memory back to the kernel and keeps the address: what
// is there reads as zero afterwards.
func returnPages(mem []byte) {
	if syscall.Madvise(mem, syscall.MADV_DONTNEED) != nil {
		clear(mem)
	}
}
