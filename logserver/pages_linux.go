package logserver

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// mapPages reserves n bytes outside the Go heap, aligned to slabSize. Memory
// is taken only as it is touched. whole is what unmapPages wants back.
func mapPages(n int) (aligned, whole []byte, err error) {
	whole, err = unix.Mmap(-1, 0, n+slabSize, unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
	if err != nil {
		return nil, nil, err
	}
	// Client data is not to be found in a core dump. Best effort, as is all
	// advice to the kernel here.
	_ = unix.Madvise(whole, unix.MADV_DONTDUMP)
	skip := int(-uintptr(unsafe.Pointer(&whole[0])) & (slabSize - 1))
	return whole[skip : skip+n : skip+n], whole, nil
}

func unmapPages(whole []byte) error { return unix.Munmap(whole) }

// preferHuge asks for huge pages (or for small ones): a huge page makes first
// use several times cheaper, but costs all of itself at the first touch.
func preferHuge(mem []byte, yes bool) {
	advice := unix.MADV_NOHUGEPAGE
	if yes {
		advice = unix.MADV_HUGEPAGE
	}
	_ = unix.Madvise(mem, advice)
}

// returnPages gives the memory back to the kernel and keeps the address: what
// is there reads as zero afterwards.
func returnPages(mem []byte) {
	if unix.Madvise(mem, unix.MADV_DONTNEED) != nil {
		clear(mem)
	}
}
