package format

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash/crc32"
)

// KeySize is the length of a master key, in bytes.
const KeySize = 32

// ErrKey is returned for a segment that was not written with the key.
var ErrKey = errors.New("the key is not the one that it was written with")

// Codec writes and reads the records of one segment. Its methods may be called
// from any goroutine.
type Codec struct {
	seed uint32
	aead cipher.AEAD // nil if not encrypted
}

// derive makes 32 bytes for one purpose out of the master key.
func derive(master, salt []byte, purpose string) ([]byte, error) {
	return hkdf.Key(sha256.New, master, salt, "ftnet log version 1: "+purpose, KeySize)
}

// NewCodec returns the codec for a new segment, and sets the header's key
// check. master is nil for a segment that is not encrypted.
func NewCodec(h *SegmentHeader, master []byte) (*Codec, error) {
	h.Encrypted = master != nil
	h.KeyCheck = [16]byte{}
	c := &Codec{seed: crc32.Checksum(h.Salt[:], castagnoli)}
	if master == nil {
		return c, nil
	}
	check, err := derive(master, h.Salt[:], "key check")
	if err != nil {
		return nil, err
	}
	copy(h.KeyCheck[:], check)
	key, err := derive(master, h.Salt[:], "records")
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	c.aead, err = cipher.NewGCM(block)
	return c, err
}

// OpenCodec returns the codec for a segment that exists, or ErrKey.
func OpenCodec(h SegmentHeader, master []byte) (*Codec, error) {
	if h.Encrypted != (master != nil) {
		return nil, ErrKey
	}
	check := h.KeyCheck
	c, err := NewCodec(&h, master)
	if err == nil && check != h.KeyCheck {
		err = ErrKey
	}
	return c, err
}

// nonce is the position: see the package's comment.
func (c *Codec) nonce(pos uint32) []byte {
	nonce := make([]byte, 12)
	binary.LittleEndian.PutUint32(nonce, pos)
	return nonce
}

// Encrypted tells whether payloads are sealed.
func (c *Codec) Encrypted() bool { return c.aead != nil }
