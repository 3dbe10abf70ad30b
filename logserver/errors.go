package logserver

import (
	"errors"
	"fmt"
)

var (
	// ErrNoConn is returned for an id that is not in the log.
	ErrNoConn = errors.New("logserver: no such connection")
	// ErrNotRegistered is returned by Open for a server port that
	// RegisterService was not called for.
	ErrNotRegistered = errors.New("logserver: service is not registered")
	// ErrExists is returned by Open for a number that is, or was, in use.
	ErrExists = errors.New("logserver: the connection's number was used before")
	// ErrGap is returned when an offset lies beyond the end of the data.
	ErrGap = errors.New("logserver: offset beyond the end of the data")
	// ErrFinished is returned by Write for data beyond the client's FIN, and
	// by Finish for a FIN that contradicts what the log has.
	ErrFinished = errors.New("logserver: contradicts the end of the client's stream")
	// ErrDiscarded is returned by Read for an offset whose data was discarded.
	ErrDiscarded = errors.New("logserver: data was discarded")
	// ErrInvalid is returned for an argument that can never be right, such as
	// a negative offset, a read of length 0 or a handshake longer than MaxHandshake.
	ErrInvalid = errors.New("logserver: invalid argument")
	// ErrClosed is returned after Close.
	ErrClosed = errors.New("logserver: log is closed")
	// ErrUnreachable is returned by methods that need an answer of a log
	// server which cannot be reached now. The status has the flag Unreachable.
	ErrUnreachable = errors.New("logserver: the log server cannot be reached")
	// ErrFenced is returned when another process has taken over what this one
	// wrote to the log, see Fencer. The status has the flag Failed once nothing is
	// left that this one may write.
	ErrFenced = errors.New("logserver: another engine has taken over the service")
	// ErrFailed is returned when the log can store nothing any more. The
	// status has the flag Failed.
	ErrFailed = errors.New("logserver: the log has failed")
	// ErrQuota is what every *QuotaError is, in the sense of errors.Is.
	ErrQuota = errors.New("logserver: quota is full")
)

// Scope tells which quota is full.
type Scope uint8

const (
	// ScopeTotal is the quota of all connections together.
	ScopeTotal Scope = iota + 1
	// ScopeBuffer is the room for what is not stable yet: there will be some
	// when the log's device or network has taken what waits.
	ScopeBuffer
)

func (s Scope) String() string {
	switch s {
	case ScopeTotal:
		return "total"
	case ScopeBuffer:
		return "buffer"
	}
	return fmt.Sprintf("scope(%d)", uint8(s))
}

// QuotaError is returned when a quota leaves no room. It satisfies
// errors.Is(err, ErrQuota).
type QuotaError struct {
	Scope Scope
	// Limit is the quota in bytes.
	Limit int64
}

func (e *QuotaError) Error() string {
	return fmt.Sprintf("logserver: %s quota of %d bytes is full", e.Scope, e.Limit)
}

// Is makes every QuotaError match ErrQuota.
func (e *QuotaError) Is(target error) bool { return target == ErrQuota }
