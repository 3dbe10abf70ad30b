package wire

import (
	"errors"
	"io"
)

// Reader cuts a stream into frames. It reads as much at once as there is.
type Reader struct {
	src  io.Reader
	buf  []byte
	r, w int // what is read but not used yet lies at buf[r:w]
	// Most is how long a payload may be. It begins with [MaxHello].
	Most int
}

// firstBuffer is what a peer gets that has said nothing yet.
const firstBuffer = 4 << 10

// NewReader returns a reader that has room for little more than a greeting
// until Grow is called.
func NewReader(src io.Reader) *Reader {
	return &Reader{src: src, buf: make([]byte, firstBuffer), Most: MaxHello}
}

// Grow lets frames be as large as the protocol allows from now on, and reads n
// bytes at a time.
func (r *Reader) Grow(n int) {
	r.Most = MaxPayload
	r.resize(max(n, HeaderSize+MaxPayload))
}

func (r *Reader) resize(n int) {
	buf := make([]byte, n)
	r.w = copy(buf, r.buf[r.r:r.w])
	r.r, r.buf = 0, buf
}

// Buffered reports whether another whole frame has been read already.
func (r *Reader) Buffered() bool {
	if r.w-r.r < HeaderSize {
		return false
	}
	_, n, err := ParseHeader(r.buf[r.r:r.w], r.Most)
	return err != nil || r.w-r.r >= HeaderSize+n
}

// Next returns the next frame. It returns io.EOF only between frames.
func (r *Reader) Next() (Frame, error) {
	if err := r.fill(HeaderSize); err != nil {
		return Frame{}, err
	}
	f, n, err := ParseHeader(r.buf[r.r:r.w], r.Most)
	if err != nil {
		return Frame{}, err
	}
	if err := r.fill(HeaderSize + n); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return Frame{}, err
	}
	f.Payload = r.buf[r.r+HeaderSize : r.r+HeaderSize+n : r.r+HeaderSize+n]
	r.r += HeaderSize + n
	return f, nil
}

// fill reads until n bytes are there.
func (r *Reader) fill(n int) error {
	if r.r == r.w {
		r.r, r.w = 0, 0
	}
	if n > len(r.buf) {
		r.resize(n)
	}
	for r.w-r.r < n {
		if r.r+n > len(r.buf) {
			r.w = copy(r.buf, r.buf[r.r:r.w])
			r.r = 0
		}
		m, err := r.src.Read(r.buf[r.w:])
		r.w += m
		if err != nil && r.w-r.r < n {
			if errors.Is(err, io.EOF) && r.w > r.r {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
	}
	return nil
}
