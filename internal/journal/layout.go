package journal

import (
	"errors"
	"math/bits"
	"unsafe"
)

// The memory, in this order: superblock, index, heads, pages. All values are
// in native byte order: both parties run on one host. Words that both may
// touch are accessed through sync/atomic only.
const (
	magic   = 0x66746a6e6c303031 // "ftjnl001"
	version = 3

	superSize = 4096
	headSize  = 512
	pageSize  = 1024

	// BlockSize is the unit of the output digest in bytes: one CRC32C word
	// stands for each complete block of the output stream.
	BlockSize = 1024

	// MaxRead is the longest read that one record can describe, in bytes.
	MaxRead = 1<<20 - 1

	inlineReads = 22  // read words kept in the head itself
	inlineCRCs  = 8   // digest words kept in the head itself
	inlineBytes = 232 // bytes of the incomplete block kept in the head itself
	pageWords   = pageSize/4 - 1

	maxRunLength = 1 << 12 // equal successive reads in one word
)

// superblock is the first page of the memory. The engine writes all of it but
// the four counters, which both sides change atomically.
type superblock struct {
	magic    uint64
	seed     uint64 // of the index hash
	version  uint32
	maxConns uint32
	maxPages uint32
	indexLen uint32
	epoch    uint32 // odd while the engine rebuilds the index
	_        [28]byte
	accepts  uint64 // newest accept_seq given out
	_        [56]byte
	free     uint64 // free pages: tag<<32 | number of the first one (0 = none)
	bump     uint32 // pages 1..bump have been used at least once

	inputPages uint32 // pages that hold recorded inputs
}

// head is the record of one connection. It is compact on purpose: an idle
// connection costs the engine this much shared memory and no page.
type head struct {
	word  uint64    // gen<<32 | flags | state, see State
	flow  [5]uint64 // engine: client address, server address, ports
	slot  uint32    // engine: the engine's number of the connection
	flags uint32    // north: flagOverflow, flagLength; engine: flagRestored

	acceptSeq uint64 // north: order of acceptance, kept across recoveries
	una       uint64 // engine: the client acknowledged output below this
	left      uint64 // engine: no output at or above this has left the host
	stable    uint64 // engine: the kernel's socket delivers input from here on
	end       uint64 // north: output recorded below this (the intention)
	base      uint64 // engine: the digest covers output from here on, see Restore
	replayed  uint64 // north: output of the replaying execution below this; allReplayed
	in        uint64 // engine: the next execution begins to read here, see Base
	out       uint64 // engine: and to write here
	readsFrom uint64 // engine: the read record begins here
	recovered uint32 // engine: how often PrepareRecovery was called
	inputPage uint32 // north: first page of the recorded inputs

	readWords uint32 // north: committed words of the read record
	readPage  uint32 // north: first page of further read words
	crcPage   uint32 // north: first page of further digest words
	blockPage uint32 // north: page of the incomplete block's bytes above inlineBytes

	reads [inlineReads]uint32
	crcs  [inlineCRCs]uint32
	block [inlineBytes]byte
}

// page is either a link of a chain of words (next, then words), a free page
// (next only) or the incomplete block's bytes (next stays 0).
type page struct {
	next  uint32
	words [pageWords]uint32
}

// allReplayed in head.replayed: the execution has repeated all that there was.
const allReplayed = 1<<64 - 1

const (
	flagOverflow = 1 << 0
	flagLength   = 1 << 1
	flagRestored = 1 << 2 // engine: made by Restore
)

// The compiler refuses to build if a size is not what the layout says.
var (
	_ [headSize]byte = [unsafe.Sizeof(head{})]byte{}
	_ [pageSize]byte = [unsafe.Sizeof(page{})]byte{}
	_                = [superSize - unsafe.Sizeof(superblock{})]byte{}
)

// errLayout is returned when a size is out of range or memory is no journal.
var errLayout = errors.New("journal: not a journal of this version")

// region gives typed access to the memory. Its sizes are private copies:
// nothing is looked up in the shared superblock after the start.
type region struct {
	mem                          []byte
	maxConns, maxPages, indexLen uint32
	index, heads, pages          uintptr // offsets into mem
}

// newRegion computes the places of everything; mem may be nil to learn the size.
func newRegion(mem []byte, maxConns, maxPages int) (r region, size int64, err error) {
	if maxConns < 1 || maxConns > 1<<24 || maxPages < 0 || maxPages > 1<<30 {
		return region{}, 0, errLayout
	}
	indexLen := 1 << bits.Len(uint(2*maxConns-1))
	if indexLen < 512 {
		indexLen = 512
	}
	r = region{mem: mem, maxConns: uint32(maxConns), maxPages: uint32(maxPages), indexLen: uint32(indexLen)}
	r.index = superSize
	r.heads = r.index + uintptr(indexLen)*8
	r.pages = r.heads + uintptr(maxConns)*headSize
	size = int64(r.pages) + int64(maxPages)*pageSize
	size = (size + superSize - 1) &^ (superSize - 1)
	if mem != nil && int64(len(mem)) < size {
		return region{}, 0, errLayout
	}
	return r, size, nil
}

func (r *region) super() *superblock { return (*superblock)(unsafe.Pointer(&r.mem[0])) }

func (r *region) entry(i uint32) *uint64 {
	return (*uint64)(unsafe.Pointer(&r.mem[r.index+uintptr(i&(r.indexLen-1))*8]))
}

// head returns the head numbered i, or nil if there is none.
func (r *region) head(i uint32) *head {
	if i >= r.maxConns {
		return nil
	}
	return (*head)(unsafe.Pointer(&r.mem[r.heads+uintptr(i)*headSize]))
}

// page returns the page numbered i (counted from 1), or nil if there is none.
func (r *region) page(i uint32) *page {
	if i == 0 || i > r.maxPages {
		return nil
	}
	return (*page)(unsafe.Pointer(&r.mem[r.pages+uintptr(i-1)*pageSize]))
}

// bytes is the page as the second part of the incomplete block: the place of
// the byte at inlineBytes is bytes()[0]. The first word stays out of it so
// that the page's link is always a link.
func (p *page) bytes() []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(&p.words)), BlockSize-inlineBytes)
}
