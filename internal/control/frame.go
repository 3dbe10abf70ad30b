package control

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// A frame is a 32-bit length of the body (big endian), a type byte and the
// body: JSON for control, binary for the reading of the log.
type frameType uint8

const (
	typeHello    frameType = 1
	typeAnnounce frameType = 2
	typeFormer   frameType = 3
	typeReadLog  frameType = 4
	typeMismatch frameType = 5

	typeWelcome frameType = 128
	typeOK      frameType = 129
	typeError   frameType = 130
	typeData    frameType = 131
	typeBye     frameType = 132 // the only one that answers nothing
)

const (
	headerSize = 5
	// MaxRead is the largest part of the log that one request may ask for, in
	// bytes.
	MaxRead = 1 << 20
	// MaxState is the longest state of a base, in bytes: logserver.MaxState.
	MaxState = 32 << 10
	// maxBody bounds the frames of data.
	maxBody = MaxRead + 64
	// maxJSON bounds the frames of control but for the announcements and their answers:
	// there is room for a listener on each port.
	maxJSON         = 64 << 10
	maxAnnouncement = 32 << 20
)

// errFrame is returned for a frame that no correct peer sends.
var errFrame = errors.New("control: malformed frame")

// limit is the largest body of a type.
func limit(t frameType) int {
	switch t {
	case typeData:
		return maxBody
	case typeReadLog:
		return readLogSize
	case typeAnnounce, typeOK:
		return maxAnnouncement
	}
	return maxJSON
}

func parseHeader(h [headerSize]byte) (t frameType, size int, err error) {
	n := binary.BigEndian.Uint32(h[:4])
	t = frameType(h[4])
	if int64(n) > int64(limit(t)) {
		return 0, 0, fmt.Errorf("%w: type %d with %d bytes", errFrame, t, n)
	}
	return t, int(n), nil
}

// readBody reads a body of size bytes into buf, which it grows if it must. The
// memory grows with what arrives, not with what the header promises.
func readBody(r io.Reader, buf []byte, size int) ([]byte, error) {
	const step = 64 << 10
	buf = buf[:0]
	for len(buf) < size {
		n := min(size-len(buf), max(step, len(buf), cap(buf)-len(buf)))
		if cap(buf)-len(buf) < n {
			buf = append(make([]byte, 0, len(buf)+n), buf...)
		}
		part := buf[len(buf) : len(buf)+n]
		if _, err := io.ReadFull(r, part); err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
		buf = buf[:len(buf)+n]
	}
	return buf, nil
}

// appendFrame appends a frame to buf.
func appendFrame(buf []byte, t frameType, body []byte) []byte {
	buf = binary.BigEndian.AppendUint32(buf, uint32(len(body)))
	buf = append(buf, byte(t))
	return append(buf, body...)
}
