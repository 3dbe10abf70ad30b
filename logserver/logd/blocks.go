package logd

import (
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"math"
	"sync"
	"time"

	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/internal/wire"
)

// blocks hands out blocks of connection numbers. No block is handed out twice,
// also not by the next process: a block's number is at least the time in
// seconds, and lies above every number that the store holds. One of the two is
// enough: a clock that went back, or a store that came back empty.
type blocks struct {
	key    []byte
	anyone bool // no token is asked for

	mu   sync.Mutex // guards last
	last uint32
}

var errBlocksUsedUp = errors.New("logd: all blocks of connection numbers were handed out")

// used tells of a number that was used.
func (b *blocks) used(id logserver.ConnID) { b.atLeast(uint32(id >> 32)) }

func (b *blocks) atLeast(number uint32) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.last = max(b.last, number)
}

func (b *blocks) next(peer *identity) (wire.Block, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := uint32(min(max(time.Now().Unix(), 0), math.MaxUint32))
	if b.last == math.MaxUint32 {
		return wire.Block{}, errBlocksUsedUp
	}
	b.last = max(b.last+1, now)
	return wire.Block{Number: b.last, Token: b.token(b.last, peer)}, nil
}

// plausible reports whether a number that a peer brings along leaves blocks to
// hand out.
func (b *blocks) plausible(id logserver.ConnID) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return uint64(id>>32) < max(uint64(b.last), uint64(time.Now().Unix()))+1<<24
}

func (b *blocks) token(number uint32, peer *identity) (token [16]byte) {
	h := hmac.New(sha256.New, b.key)
	h.Write([]byte("ftnet block\x00"))
	h.Write(binary.BigEndian.AppendUint32(nil, number))
	h.Write([]byte(peer.name))
	copy(token[:], h.Sum(nil))
	return token
}

// check reports whether the block was given to this peer.
func (b *blocks) check(k wire.Block, peer *identity) bool {
	want := b.token(k.Number, peer)
	return k.Number != 0 && (b.anyone || hmac.Equal(want[:], k.Token[:]))
}

// tokenKey returns the key for tokens: the one configured, or one that is made
// from the server's private key, or else a random one.
func tokenKey(cfg *Config) ([]byte, error) {
	if len(cfg.Key) > 0 {
		return cfg.Key, nil
	}
	if cfg.TLS != nil {
		key, err := privateKey(cfg.TLS)
		if err != nil {
			return nil, err
		}
		if der, err := x509.MarshalPKCS8PrivateKey(key); err == nil {
			sum := sha256.Sum256(append([]byte("ftnet token key\x00"), der...))
			return sum[:], nil
		}
		cfg.Warn("the private key cannot be read: sessions end when the log server restarts")
	}
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	return key, nil
}

func privateKey(c *tls.Config) (crypto.PrivateKey, error) {
	switch {
	case c.GetConfigForClient != nil:
		chosen, err := c.GetConfigForClient(&tls.ClientHelloInfo{})
		if err != nil {
			return nil, err
		}
		if chosen != nil && chosen != c {
			return privateKey(chosen)
		}
	case c.GetCertificate != nil:
		cert, err := c.GetCertificate(&tls.ClientHelloInfo{})
		if err != nil {
			return nil, err
		}
		return cert.PrivateKey, nil
	}
	if len(c.Certificates) == 0 {
		return nil, errNoCertificate
	}
	return c.Certificates[0].PrivateKey, nil
}
