package wire

import (
	"fmt"
	"time"

	"github.com/ftnet/ftnet/logserver/internal/record"
)

// magic begins every connection.
const magic = "ftnetlog"

// Bounds of what a Hello may tell.
const (
	MaxBlocks   = 8
	MaxServices = 100
	tokenSize   = 16
)

// Block is the right to 2^32 numbers of connections: those with these upper 32
// bits.
type Block struct {
	Number uint32
	// Token shows that the server gave the block to this peer.
	Token [tokenSize]byte
}

func (c *cursor) block() (b Block) {
	b.Number = c.U32()
	copy(b.Token[:], c.Take(tokenSize))
	return b
}

func appendBlock(b []byte, k Block) []byte {
	return append(be.AppendUint32(b, k.Number), k.Token[:]...)
}

// Hello is the client's first frame.
type Hello struct {
	// Min and Max are the versions that the client speaks.
	Min, Max uint16
	// Silence is how long the client may be silent before the server takes it
	// for dead, in whole milliseconds.
	Silence time.Duration
	// Blocks are those of the session that goes on, its first one first. None
	// begins a session.
	Blocks []Block
	// Services are claimed: an older session that writes them is fenced.
	Services []string
}

// VersionError is returned for a peer with which there is no common version.
type VersionError struct{ Min, Max uint16 }

func (e *VersionError) Error() string {
	return fmt.Sprintf("wire: the peer speaks versions %d to %d of the protocol, this end version %d", e.Min, e.Max, Version)
}

// AppendHello appends the frame.
func AppendHello(b []byte, h Hello) []byte {
	b, at := begin(b, TypeHello, 0)
	b = append(b, magic...)
	b = be.AppendUint16(b, h.Min)
	b = be.AppendUint16(b, h.Max)
	b = be.AppendUint32(b, uint32(h.Silence.Milliseconds()))
	b = append(b, byte(len(h.Blocks)))
	for _, k := range h.Blocks {
		b = appendBlock(b, k)
	}
	b = append(b, byte(len(h.Services)))
	for _, s := range h.Services {
		b = record.AppendText(b, s)
	}
	return end(b, at)
}

// ParseHello returns a *VersionError if the frame is of another version's: the
// rest of it is then not looked at.
func ParseHello(f Frame) (h Hello, err error) {
	c := newCursor(f)
	if f.Type != TypeHello || string(c.Take(len(magic))) != magic {
		return h, f.Malformed()
	}
	h.Min, h.Max = c.U16(), c.U16()
	if !c.Bad() && (h.Min > Version || h.Max < Version) {
		return h, &VersionError{h.Min, h.Max}
	}
	h.Silence = time.Duration(c.U32()) * time.Millisecond
	n := int(c.U8())
	if n > MaxBlocks {
		return h, f.Malformed()
	}
	for range n {
		h.Blocks = append(h.Blocks, c.block())
	}
	if n = int(c.U8()); n > MaxServices {
		return h, f.Malformed()
	}
	for range n {
		h.Services = append(h.Services, c.Text())
	}
	if !c.Done() {
		return h, f.Malformed()
	}
	return h, nil
}

// Welcome is the server's answer to Hello.
type Welcome struct {
	Version uint16
	// Resumed tells that the session goes on: its blocks count. Else Block
	// begins a new one.
	Resumed bool
	Silence time.Duration
	Block   Block
	// Run is the server's number for its process: another one tells that it
	// has restarted.
	Run uint64
}

// AppendWelcome appends the frame.
func AppendWelcome(b []byte, w Welcome) []byte {
	b, at := begin(b, TypeWelcome, 0)
	b = be.AppendUint16(b, w.Version)
	b = append(b, flag(w.Resumed), 0)
	b = be.AppendUint32(b, uint32(w.Silence.Milliseconds()))
	b = appendBlock(b, w.Block)
	b = be.AppendUint64(b, w.Run)
	return end(b, at)
}

// ParseWelcome takes the frame apart.
func ParseWelcome(f Frame) (w Welcome, err error) {
	c := newCursor(f)
	if w.Version = c.U16(); f.Type == TypeWelcome && !c.Bad() && w.Version != Version {
		return w, &VersionError{w.Version, w.Version}
	}
	w.Resumed = c.Flag()
	c.zero(1)
	w.Silence = time.Duration(c.U32()) * time.Millisecond
	w.Block = c.block()
	w.Run = c.U64()
	if f.Type != TypeWelcome || !c.Done() {
		return w, f.Malformed()
	}
	return w, nil
}

func flag(set bool) byte {
	if set {
		return 1
	}
	return 0
}
