package kernel

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cilium/ebpf"

	"github.com/ftnet/ftnet/rawio/internal/gate"
)

// AddSender makes the socket with the cookie (SO_COOKIE) one of the engine's, from its
// next packet on: a raw or packet socket, not connected, or a TCP socket that is
// yet to connect. Of a TCP socket only the SYN counts as the engine's. There can be at most
// MaxSenders; the kernel never reuses a cookie.
func (g *Gate) AddSender(cookie uint64, s gate.Sender) error {
	if err := g.objs.Own.Put(cookie, uint32(s)); err != nil {
		return fmt.Errorf("gate: own socket: %w", err)
	}
	return nil
}

// RemoveSender ends that. It is no error if the socket was not added.
func (g *Gate) RemoveSender(cookie uint64) error {
	if err := g.objs.Own.Delete(cookie); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return fmt.Errorf("gate: own socket: %w", err)
	}
	return nil
}

// removeSenders removes the sockets of a dead engine.
func (g *Gate) removeSenders() error {
	var cookies []uint64
	var cookie uint64
	var to uint32
	all := g.objs.Own.Iterate()
	for all.Next(&cookie, &to) {
		cookies = append(cookies, cookie)
	}
	errs := []error{all.Err()}
	for _, c := range cookies {
		errs = append(errs, g.RemoveSender(c))
	}
	return errors.Join(errs...)
}

// newSecret is a mark that nobody can guess, and not 0. crypto/rand does not fail.
func newSecret() uint32 {
	for {
		var b [4]byte
		_, _ = rand.Read(b[:])
		if s := binary.NativeEndian.Uint32(b[:]); s != 0 {
			return s
		}
	}
}
