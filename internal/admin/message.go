package admin

import "time"

// Message is one line of an answer. Exactly one of the fields is set.
type Message struct {
	Said   string `json:"said,omitempty"`   // what has been done, for people
	Line   *Line  `json:"line,omitempty"`   // of a service's output
	Missed uint64 `json:"missed,omitempty"` // lines that are no longer kept, or that the client was too slow for
	Done   *Done  `json:"done,omitempty"`   // the last message
}

// Line is a line of a service's output. Bytes that are not UTF-8 are replaced.
type Line struct {
	Time    time.Time `json:"time"`
	Stream  string    `json:"stream"` // stdout, stderr
	Text    string    `json:"text"`
	Partial bool      `json:"partial,omitempty"` // it goes on in the next line
}

// Done ends an answer.
type Done struct {
	Error *Error `json:"error,omitempty"` // nil: it was done
}

// Code classifies an Error.
type Code string

const (
	CodeRequest Code = "request" // it cannot be understood
	CodeVersion Code = "version" // client and daemon are of different makes
	CodeDenied  Code = "denied"  // the client is somebody else
	CodeUnknown Code = "unknown" // no such service
	CodeConfig  Code = "config"  // the configuration file is not valid; nothing was changed
	CodeState   Code = "state"   // the service's state does not allow it
	CodeFailed  Code = "failed"  // it was tried
	CodeEnding  Code = "ending"  // the daemon is about to end
)

// Error says why a request was not, or not wholly, carried out.
type Error struct {
	Code        Code     `json:"code"`
	Message     string   `json:"message"`
	Diagnostics []string `json:"diagnostics,omitempty"` // of CodeConfig, each a line with file, line and column
}

func (e *Error) Error() string { return e.Message }
