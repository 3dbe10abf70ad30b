package workload

import (
	"context"
	"net"
	"sync/atomic"
	"time"
)

// longest keeps the longest of many durations, told from any goroutine.
type longest struct{ atomic.Int64 }

func (l *longest) tell(d time.Duration) {
	for {
		old := l.Load()
		if int64(d) <= old || l.CompareAndSwap(old, int64(d)) {
			return
		}
	}
}

// DialFunc is the shape of net.Dialer.DialContext.
type DialFunc func(ctx context.Context, network, address string) (net.Conn, error)

func (d DialFunc) orDefault() DialFunc {
	if d == nil {
		return new(net.Dialer).DialContext
	}
	return d
}

// untilDone has conn fail every pending and later call once ctx is done. The
// caller calls stop when it needs conn no more.
func untilDone(ctx context.Context, conn net.Conn) (stop func() bool) {
	return context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
}
