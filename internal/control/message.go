package control

import (
	"encoding/binary"
	"encoding/json"
	"fmt"

	"github.com/ftnet/ftnet/internal/policy"
)

// Version is the version of the protocol that this package speaks.
const Version = 3

// Hello is the first message on each connection.
type Hello struct {
	Version int  `json:"version"`
	PID     int  `json:"pid"`            // as the process sees itself
	Data    bool `json:"data,omitempty"` // the connection reads the log only
	// Resume says that the process had an engine that is gone: of this service,
	// and of this instance. The journal's descriptor comes with the message.
	Resume   bool   `json:"resume,omitempty"`
	Service  string `json:"service,omitempty"`
	Instance string `json:"instance,omitempty"`
}

// Welcome answers Hello. On a control connection the journal's descriptor
// comes with it; not on one that resumes, if the engine has taken the journal
// that came with Hello.
type Welcome struct {
	Version  int    `json:"version"`
	Service  string `json:"service"`
	MaxConns int    `json:"max_conns"`
	Instance string `json:"instance,omitempty"` // of the engine: another one has another
	// Returns says that an engine that is killed comes back at the same path,
	// where it is to be awaited.
	Returns bool `json:"returns,omitempty"`
	FD      int  `json:"-"` // -1: none. Owned by the receiver; by the handler when sending
}

// Announcement is the whole set of a process's listeners. It is sent each time that the set
// changes, and to each new engine. A listener of the previous announcement that is not in this
// one is closed. The first announcement to an engine that takes over also has the listeners that
// were closed before and may have connections.
type Announcement struct {
	Listeners []Listener `json:"listeners"`
}

// Listener is how far a listener is: about to be bound, or it Listens, or was Left.
type Listener struct {
	Protect
	Listens *Listening `json:"listens,omitempty"`
}

// Announced answers Announcement, once the handler has done what is new in it.
type Announced struct {
	Listeners []Answer `json:"listeners"`
}

// Answer is what becomes of a listener as announced.
type Answer struct {
	ID         uint64 `json:"id"`
	Recovering int    `json:"recovering,omitempty"` // see ListeningReply
	Refused    *Error `json:"refused,omitempty"`
}

// Protect announces a listener before it is bound, so that no client can
// reach the port unprotected.
type Protect struct {
	ID      uint64         `json:"id"`      // the process's number of the listener
	Network string         `json:"network"` // tcp4 or tcp6
	Address string         `json:"address"` // host:port
	Port    uint16         `json:"port"`
	Compare policy.Compare `json:"compare"`
	// Netns is the cookie of the socket's network namespace; 0 where the kernel has
	// none.
	Netns uint64 `json:"netns,omitempty"`
	// Asked is what the application has asked for, network and address, if that was
	// any port; see Former.
	Asked string `json:"asked,omitempty"`
	// Left says that the listener is closed and only its connections are there.
	Left bool `json:"left,omitempty"`
}

// Former answers a Protect without a Port that asks so: which port the process before had for
// the same address, if its clients wait there and no other listener could be meant; 0: none.
type Former struct {
	Port uint16 `json:"port,omitempty"`
}

// Listening says that the listener accepts connections.
type Listening struct {
	ID      uint64 `json:"id"`
	Network string `json:"network"`
	Address string `json:"address"`
}

// ListeningReply answers Listening once the gate is armed.
type ListeningReply struct {
	Recovering int `json:"recovering"` // connections that Accept will hand out again
}

// Closed says that the application has closed the listener.
type Closed struct {
	ID uint64 `json:"id"`
}

// ReadLog asks for the client's bytes of the connection in a slot, N of them
// from Off. With State it asks for the state of the connection's base instead, which
// the process has found at Off in the journal.
type ReadLog struct {
	Slot, Gen uint32
	Off       int64
	N         int // 1..MaxRead
	State     bool
}

// Mismatch says that a restarted handler wrote something else than the client
// has already acknowledged; the process aborts the connection next.
type Mismatch struct {
	Slot    uint32         `json:"slot"`
	Gen     uint32         `json:"gen"`
	Offset  int64          `json:"offset"` // of the first difference, or of the block with it
	Exact   bool           `json:"exact"`
	Compare policy.Compare `json:"compare"`
}

// Error is an answer in the negative.
type Error struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

func (e *Error) Error() string { return "engine: " + e.Message }

// Codes of Error. CodeStale answers a ReadLog for a connection that the engine
// has no log of any more, CodeLater one for a log that cannot be reached now:
// Client asks again.
const (
	CodeRefused = "refused"
	CodeVersion = "version"
	CodeStale   = "stale"
	CodeLater   = "later"
)

const readLogSize = 4 + 4 + 8 + 4 + 1

func (r ReadLog) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, r.Slot)
	b = binary.BigEndian.AppendUint32(b, r.Gen)
	b = binary.BigEndian.AppendUint64(b, uint64(r.Off))
	b = binary.BigEndian.AppendUint32(b, uint32(r.N))
	if r.State {
		return append(b, 1)
	}
	return append(b, 0)
}

func parseReadLog(b []byte) (ReadLog, error) {
	if len(b) != readLogSize {
		return ReadLog{}, errFrame
	}
	r := ReadLog{
		Slot: binary.BigEndian.Uint32(b),
		Gen:  binary.BigEndian.Uint32(b[4:]),
		Off:  int64(binary.BigEndian.Uint64(b[8:])),
		N:    int(binary.BigEndian.Uint32(b[16:])),

		State: b[20] == 1,
	}
	if b[20] > 1 || r.Off < 0 || r.N < 1 || r.N > MaxRead {
		return ReadLog{}, errFrame
	}
	return r, nil
}

// parseJSON decodes a body of control. Unknown fields are allowed: a newer
// peer of the same version may send them.
func parseJSON(b []byte, v any) error {
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("%w: %v", errFrame, err)
	}
	return nil
}
