//go:build linux

// Package controltest has what tests of both ends of the control protocol share: an
// engine that knows nothing but the journal, and a way to run one as a process of its
// own, which is killed.
package controltest

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"

	"github.com/ftnet/ftnet/internal/control"
	"github.com/ftnet/ftnet/internal/journal"
)

// Engine is a control.Successor that makes a journal for the process which says
// Hello, or adopts that of one whose engine was killed. Its other methods do nothing.
type Engine struct {
	Service string

	mu      sync.Mutex // guards what follows
	journal *journal.Journal
}

// connections and pages are what its journal has room for.
const (
	connections = 64
	pages       = 1024
)

var _ control.Successor = (*Engine)(nil)

// Listen makes the engine's socket, in place of that of one which was killed.
func Listen(path string) (*net.UnixListener, error) {
	os.Remove(path)
	return net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
}

// Hello admits every process.
func (e *Engine) Hello(p *control.Peer) (w control.Welcome, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	w = control.Welcome{Service: e.Service, Returns: true, FD: -1}
	if p.Hello.Resume {
		e.journal, err = journal.Adopt(p.Memory, connections, pages)
	} else if e.journal, err = journal.Create(connections, pages); err == nil {
		w.FD = e.journal.Fd()
	}
	return w, err
}

// Publish records a connection as the core does: text is its slot and the addresses
// of client and server.
func (e *Engine) Publish(text string) error {
	var slot uint32
	var client, server string
	if _, err := fmt.Sscan(text, &slot, &client, &server); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.journal.Publish(slot, 1, journal.Flow{Client: netip.MustParseAddrPort(client), Server: netip.MustParseAddrPort(server)})
}

// Heads tells slot, state and recorded output of each connection in the journal.
func (e *Engine) Heads() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var heads []string
	for _, slot := range e.journal.Slots() {
		h, _ := e.journal.Head(slot)
		heads = append(heads, Head(slot, h.State, h.Recorded))
	}
	return strings.Join(heads, ", ")
}

// Head is one of them.
func Head(slot uint32, state journal.State, recorded int64) string {
	return fmt.Sprint(slot, state, recorded)
}

func (e *Engine) Protect(*control.Peer, control.Protect) error { return nil }
func (e *Engine) Listening(*control.Peer, control.Listening) (control.ListeningReply, error) {
	return control.ListeningReply{}, nil
}
func (e *Engine) Closed(*control.Peer, control.Closed) error     { return nil }
func (e *Engine) Mismatch(*control.Peer, control.Mismatch) error { return nil }
func (e *Engine) ReadLog(control.ReadLog, []byte) (int, error)   { return 0, nil }
func (e *Engine) Resumed(*control.Peer) error                    { return nil }
func (e *Engine) Gone(*control.Peer, error)                      {}
