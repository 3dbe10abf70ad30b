package ftnet

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"

	"github.com/ftnet/ftnet/internal/control"
	"github.com/ftnet/ftnet/internal/journal"
)

// The priorities by which the engine's gate tells an end that the application
// meant from one that a crash causes. They travel with the packet itself
// (skb->priority), so there is no message and no race.
const (
	priorityShut  = 5 // CloseWrite
	priorityClose = 3 // Close, or an abort
)

// logChunk is how much of the log is fetched at once.
const logChunk = 256 << 10

// packetCarrier carries bytes over the kernel's socket, whose packets pass the engine's
// gate; the engine logs the client's and serves them to a restarted process. Without an
// engine or a record it is that socket and no more.
type packetCarrier struct {
	*net.TCPConn
	engine *engine         // nil: no gate
	memory uint64          // number of the record's journal
	rec    *journal.Record // nil: unprotected
}

var _ carrier = (*packetCarrier)(nil)

func (p *packetCarrier) SendFile(f *os.File, n int64) (int64, error) {
	return p.ReadFrom(&io.LimitedReader{R: f, N: n})
}

// mark says what the packets mean that end the connection from here on.
func (p *packetCarrier) mark(priority int) {
	if p.engine != nil {
		setPriority(p.TCPConn, priority)
	}
}

func (p *packetCarrier) CloseWrite() error {
	p.mark(priorityShut)
	return p.TCPConn.CloseWrite()
}

func (p *packetCarrier) Close() error {
	p.mark(priorityClose) // before the record says so: the gate lets no end pass that is not marked
	if p.rec != nil {
		p.rec.Closing()
	}
	return p.TCPConn.Close()
}

func (p *packetCarrier) Abort() error {
	p.mark(priorityClose)
	p.SetLinger(0)
	return p.TCPConn.Close()
}

func (p *packetCarrier) Start() start {
	una, _, stable := p.rec.Bounds()
	b := p.rec.Base()
	return start{in: b.In, out: b.Out, logged: stable, acked: una}
}

func (p *packetCarrier) State(ctx context.Context) ([]byte, error) {
	b := p.rec.Base()
	if b == (journal.Base{}) {
		return nil, nil
	}
	return p.engine.session.ReadState(ctx, p.memory, p.rec.Slot(), p.rec.Gen(), b.In)
}

func (p *packetCarrier) ReadLog(ctx context.Context, at int64) ([]byte, error) {
	end := p.Start().logged
	page := make([]byte, min(logChunk, end-at))
	n, err := p.engine.session.ReadLog(ctx, p.memory, p.rec.Slot(), p.rec.Gen(), at, page)
	if err == nil && n == 0 {
		err = fmt.Errorf("the log ends at offset %d of %d: %w", at, end, io.ErrUnexpectedEOF)
	}
	return page[:n], err
}

func (p *packetCarrier) Mismatch(ctx context.Context, m control.Mismatch) error {
	m.Slot, m.Gen = p.rec.Slot(), p.rec.Gen()
	return p.engine.session.Mismatch(ctx, p.memory, m)
}
