package logserver

import "strings"

// Status is a set of flags about the log's state.
type Status uint32

const (
	// LowSpace is set while so little room is left that the caller should
	// expect a [QuotaError] soon.
	LowSpace Status = 1 << iota
	// Failed is set when the log can store nothing any more.
	Failed
	// Expired is set in the one status upcall that follows an Expire which
	// deleted connections; Status never returns it.
	Expired
	// Other is set after an error that none of the flags above tells, until
	// the log has worked again.
	Other
	// Unreachable is set while the log server cannot be reached. What it is
	// given meanwhile waits, within bounds, and becomes stable later.
	Unreachable

	// OK is the state in which no flag is set.
	OK Status = 0
)

// String names the flags that are set, joined by "|", or "ok".
func (s Status) String() string {
	if s == OK {
		return "ok"
	}
	var names []string
	for i, name := range []string{"low-space", "failed", "expired", "other", "unreachable"} {
		if s&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, "|")
}
