package ftnet

import (
	"log/slog"
	"net"
	"syscall"
	"time"

	"github.com/ftnet/ftnet/internal/policy"
)

// Compare says how a restarted handler's output is checked against what the
// client already has.
type Compare = policy.Compare

const (
	// CompareStrict compares byte for byte. The first difference resets the
	// connection.
	CompareStrict Compare = policy.CompareStrict
	// CompareLength compares the number of bytes only. It is for servers that
	// repeat themselves but for details of equal length, like the Date header
	// of net/http. The risk: where the restarted handler's bytes differ in
	// more than that, the client gets the beginning from one execution and
	// the end from another, and nobody notices.
	CompareLength Compare = policy.CompareLength
)

// ListenConfig holds the options of Listen; its zero value is what Listen
// uses. Control, KeepAlive and KeepAliveConfig are those of net.ListenConfig.
type ListenConfig struct {
	// Compare chooses how replayed output is checked. Default CompareStrict.
	Compare Compare

	// Optional makes Listen fall back to a plain listener where there is no
	// engine, and say so once in the log. Default false: Listen fails.
	Optional bool

	// Control is called after the socket is made and before it is bound. It
	// must not set SO_PRIORITY to 3 or 5, which tell the engine that a
	// connection is meant to end.
	Control func(network, address string, c syscall.RawConn) error

	// KeepAlive is the keep-alive period of accepted connections if
	// KeepAliveConfig is not enabled. 0 means 15 s, negative disables.
	KeepAlive time.Duration

	// KeepAliveConfig is the keep-alive configuration of accepted connections.
	KeepAliveConfig net.KeepAliveConfig

	// Logger receives what operators should know: a lost engine, mismatches.
	// Default slog.Default().
	Logger *slog.Logger
}

func (lc *ListenConfig) logger() *slog.Logger {
	if lc.Logger != nil {
		return lc.Logger
	}
	return slog.Default()
}
