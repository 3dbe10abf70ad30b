package status

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/ftnet/ftnet/internal/control"
)

// writeTimeout bounds how long a reader that does not read is served.
const writeTimeout = 5 * time.Second

// maxDocument bounds what Fetch reads: 100,000 connections and more.
const maxDocument = 256 << 20

// Serve answers each connection with one document until the listener is
// closed; then it returns nil.
func Serve(l net.Listener, document func() *Document) error {
	for {
		c, err := l.Accept()
		switch {
		case err == nil:
		case errors.Is(err, net.ErrClosed):
			return nil
		case control.Temporary(err):
			time.Sleep(control.AcceptPause) // they come back
			continue
		default:
			return err
		}
		go func() {
			defer c.Close()
			_ = c.SetDeadline(time.Now().Add(writeTimeout))
			_ = json.NewEncoder(c).Encode(document().noNulls()) // the reader has gone: its loss
		}()
	}
}

// noNulls makes empty lists of missing ones: readers in other languages need
// not tell them apart.
func (d *Document) noNulls() *Document {
	out := *d
	if out.Programs == nil {
		out.Programs = []Program{}
	}
	if out.Services == nil {
		out.Services = []Service{}
	}
	if out.Connections == nil {
		out.Connections = []Connection{}
	}
	return &out
}

// Fetch reads the document of the engine that listens at the unix socket path.
func Fetch(ctx context.Context, path string) (*Document, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	doc := new(Document)
	if err := json.NewDecoder(io.LimitReader(c, maxDocument)).Decode(doc); err != nil {
		return nil, fmt.Errorf("status document from %s: %w", path, errors.Join(err, ctx.Err()))
	}
	return doc, nil
}
