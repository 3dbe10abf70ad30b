package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Version is the protocol's version that this package speaks.
const Version = 3

// Sizes in bytes.
const (
	HeaderSize = 8
	// MaxPayload is the longest payload of a frame.
	MaxPayload = 256 << 10
	// MaxHello bounds what is accepted from a peer that has said nothing yet.
	MaxHello = 32 << 10
	// DataPrefix precedes the client's bytes in a Data frame.
	DataPrefix = 16
	// BytesPrefix precedes them in a Bytes frame.
	BytesPrefix = 4
)

// Type says what a frame is.
type Type uint8

// Frames of the client, which Alive is as well as the server's.
const (
	TypeHello    Type = 0x01
	TypeOpen     Type = 0x02
	TypeUpdate   Type = 0x03
	TypeData     Type = 0x04
	TypeReads    Type = 0x05
	TypeFinish   Type = 0x06
	TypeRebase   Type = 0x07
	TypeDelete   Type = 0x08
	TypeRegister Type = 0x09
	TypeAlive    Type = 0x0a

	TypeRead     Type = 0x10
	TypeGetReads Type = 0x11
	TypeActive   Type = 0x12
	TypeGetMeta  Type = 0x13
	TypeExpire   Type = 0x14
	TypeSync     Type = 0x15
	TypeGetBlock Type = 0x16
	TypeCreate   Type = 0x17
)

// Frames of the server.
const (
	TypeWelcome Type = 0x81
	TypeStates  Type = 0x82
	TypeReady   Type = 0x83
	TypeStatus  Type = 0x84
	TypeFenced  Type = 0x85
	TypeError   Type = 0x86

	TypeBytes   Type = 0x90
	TypeRuns    Type = 0x91
	TypeMetas   Type = 0x92
	TypeIDs     Type = 0x93
	TypeDone    Type = 0x94
	TypeBlock   Type = 0x95
	TypeFailure Type = 0x96
)

// Flags of frames.
const (
	// FlagRetry is set in the first Open, Data or Reads frame after a refusal.
	FlagRetry = 1
	// FlagLast is set in an answer's last frame.
	FlagLast = 1
)

var (
	// ErrMalformed is returned for a payload that is not what its frame's type
	// says.
	ErrMalformed = errors.New("wire: malformed frame")
	// ErrTooLarge is returned for a frame that is longer than it may be.
	ErrTooLarge = errors.New("wire: frame is too large")
)

// Frame is one frame. Payload is valid until the next one is read.
type Frame struct {
	Type    Type
	Flags   uint8
	Payload []byte
}

// Malformed returns an error that says what is wrong.
func (f Frame) Malformed() error {
	return fmt.Errorf("%w: type %#02x, %d bytes", ErrMalformed, uint8(f.Type), len(f.Payload))
}

// AppendHeader appends the header of a frame whose payload is n bytes long.
func AppendHeader(b []byte, t Type, flags uint8, n int) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(n))
	return append(b, byte(t), flags, 0, 0)
}

// Append appends a whole frame.
func Append(b []byte, t Type, flags uint8, payload []byte) []byte {
	return append(AppendHeader(b, t, flags, len(payload)), payload...)
}

// begin starts a frame whose length end fills in.
func begin(b []byte, t Type, flags uint8) ([]byte, int) {
	at := len(b)
	return AppendHeader(b, t, flags, 0), at
}

func end(b []byte, at int) []byte {
	binary.BigEndian.PutUint32(b[at:], uint32(len(b)-at-HeaderSize))
	return b
}

// ParseHeader returns the frame that a header announces, without its payload,
// and how long that is. most is how long it may be.
func ParseHeader(h []byte, most int) (f Frame, n int, err error) {
	length := binary.BigEndian.Uint32(h)
	f = Frame{Type: Type(h[4]), Flags: h[5]}
	switch {
	case h[6] != 0 || h[7] != 0:
		return f, 0, fmt.Errorf("%w: the header's last bytes are not zero", ErrMalformed)
	case uint64(length) > uint64(most):
		return f, 0, fmt.Errorf("%w: %d bytes of type %#02x, at most %d", ErrTooLarge, length, h[4], most)
	}
	return f, int(length), nil
}
