package logserver

import "time"

// Log is a log server. All methods may be called from any goroutine; calls
// for one connection take effect in the order in which they are made, and
// become stable in that order: an upcall speaks for every earlier call for its
// connection as well, such as WriteReads, which has none of its own.
//
// What a log has taken need not be stable yet. Length and Read tell what is
// stable; Reads, Meta, Active and NumActive tell what was taken. What
// becomes of what is not stable when the process ends nobody knows.
//
// Read, Reads, Meta, Active, Expire and Close may wait for a device or
// a network, unless the log is [Immediate]. All other methods never do: they
// may be called with locks held, and from inside an upcall.
//
// A log may hold connections when it is opened: those that an earlier process
// has left, with what was stable then. Active tells them. Their Tag means
// nothing until Update has set one. The methods that never wait may return
// ErrNoConn for a connection that neither Open nor Active or Meta has
// told of. Registered services are not kept.
//
// A method given an id that is not, or no longer, in the log returns an error
// that satisfies errors.Is(err, ErrNoConn); after Close, one that satisfies
// errors.Is(err, ErrClosed). Methods without an error result then return zero
// values.
type Log interface {
	// RegisterService allows connections to this server port to be logged
	// (log_register_service); port 0 allows all. Registering twice is no error.
	RegisterService(port uint16) error

	// Open begins to log a connection and returns its number. If m.ID is 0 the
	// log chooses one above all that were used before; else it uses m.ID,
	// which must lie above all numbers with the same upper 32 bits that were
	// ever used, deleted connections' included: so a log server in front of
	// another log can hand out blocks of numbers. The Base, Created, Modified and
	// Finished fields of m are the log's to fill and are ignored. m and its
	// slices are copied. What it says is stable when an upcall with Meta set
	// has come for it, which may be before Open returns: tell connections
	// apart by their Tag.
	//
	// Open returns ErrNotRegistered for a server port that was not
	// registered, ErrExists for a number that was used, and a *QuotaError when
	// there is no room.
	Open(m Meta) (ConnID, error)

	// Update replaces what Open recorded about connection m.ID, for example
	// when its caller has another Tag for it, or more Output. Again an upcall
	// with Meta set tells when it is stable.
	Update(m Meta) error

	// Write appends p, which lies at off in the client's stream (log_write).
	// Bytes that the log has taken already, or has discarded, are skipped
	// without being compared: off may lie below the end of what was taken. p
	// may be reused when Write returns. n is how many bytes of p the log has
	// taken, those that it had already included; they are stable when an
	// upcall has named an offset beyond them. A write that adds nothing makes
	// no upcall.
	//
	// Write returns ErrGap if off lies beyond the end of what was taken, and
	// ErrFinished if p reaches beyond the client's FIN; then it adds nothing.
	// It returns a *QuotaError if p does not fit; then it has taken the prefix
	// of p that does. After any other error the log has taken p[:n] as well.
	Write(id ConnID, off int64, p []byte) (n int, err error)

	// Room returns how many bytes beyond the end of what was taken Write would
	// take now; where that would return an error other than a *QuotaError, so does
	// Room. Other connections compete for the same room: it is a hint, not a promise.
	Room(id ConnID) (int64, error)

	// WriteReads records that the server has read this many bytes in each of
	// its next reads (log_operation). Lengths are positive. Reads may lie
	// beyond the end of the data: what is delivered need not be stable.
	WriteReads(id ConnID, lengths ...uint32) error

	// Reads returns the recorded reads in order. The first begins at the
	// start of the data, see Length. Reads of equal length that follow each
	// other may be told as one run.
	Reads(id ConnID) ([]ReadRun, error)

	// Finish records that the client's FIN stands at off, which must be the
	// end of what was taken: else ErrGap (beyond it) or ErrFinished (below it, or
	// other than an earlier Finish said). An upcall with Fin set tells when
	// that is stable. Repeating it is no error.
	Finish(id ConnID, off int64) error

	// Read copies stable data from off on into p and returns how much that
	// was (log_read). At the end of the stable data it is less than len(p),
	// down to 0, without an error. It returns ErrDiscarded if off lies below the
	// start. Read may run together with Write, Rebase and Delete.
	Read(id ConnID, p []byte, off int64) (int, error)

	// Length returns the offsets that the connection's stable data lies
	// between: start is the In of the connection's Base, end is exclusive
	// (log_connection_data_length is end-start).
	Length(id ConnID) (start, end int64, err error)

	// NumActive returns the number of connections in the log
	// (log_query_num_active).
	NumActive() int

	// Active returns up to n connections in the order in which they were
	// opened, from the first-th on, counted from 0 (log_query_active). Past
	// the last it returns none. Connections that end between two calls
	// shift those after them.
	Active(first, n int) ([]Meta, error)

	// Meta returns what is recorded about one connection, the State of its base included.
	Meta(id ConnID) (Meta, error)

	// Rebase makes b the connection's base, and forgets the data below b.In and the
	// reads of it. A read that straddles b.In is shortened. Nothing happens if b does not
	// lie beyond the present base. b.State is copied.
	//
	// The base moves in one step: whenever the process ends, the log has either the former
	// base and all data from there on, or b. Which, nobody is told; but what is
	// called stable after Rebase has returned lies behind it. Until then a recovery that has
	// nothing but the log may begin at the former base, and its caller keeps what it needs for that.
	//
	// Rebase returns ErrGap if b.In lies above what is stable, ErrInvalid for what is
	// no base, and a *QuotaError if there is no room for b.State; then it has changed nothing.
	Rebase(id ConnID, b Base) error

	// Delete forgets the connection. Its number is never given out again. A
	// connection whose Delete is not stable when the process ends comes back.
	Delete(id ConnID) error

	// Expire deletes the connections that were last modified before t and
	// returns them in the order in which they were opened.
	Expire(t time.Time) []ConnID

	// Status returns the log's state (log_status).
	Status() Status

	// SetUpcall installs the stability upcall (log_install_upcall). f gets
	// one element for each connection that has news, and must be done with
	// the slice when it returns. A backend may call f from inside the method
	// that made the news, on its caller's goroutine, or from a goroutine of
	// its own; it holds no lock meanwhile, so that f may call those methods of
	// the log that never wait. Two calls of f can overlap and overtake each other: for each connection
	// the highest Stable counts. A call may repeat what an earlier one has reported. After Delete
	// has returned, upcalls for the connection may still arrive, but none
	// after Close has. The loss of a connection is reported at once, as Gone:
	// its client may send nothing more for a long time. Delete and Expire lose none.
	SetUpcall(f func([]Upcall))

	// SetStatusUpcall installs a function that is called for each change of the
	// status. The same rules as for SetUpcall hold.
	SetStatusUpcall(f func(Status))

	// Usage returns how many bytes the log occupies, including what rounding
	// costs, and how many it may. What was deleted or discarded may occupy
	// some for a while.
	Usage() (used, limit int64)

	// Close ends the log and frees what it holds. A log that outlives its
	// process first makes stable what it has taken; it returns an error if it
	// could not.
	Close() error
}

// Immediate is implemented by logs whose methods never block, because all of the log is in the
// process's memory.
type Immediate interface {
	// Immediate reports whether the log is one of these.
	Immediate() bool
}

// Fencer is implemented by logs that several engines may have, of which the one that has claimed a
// service last writes it.
type Fencer interface {
	// Fenced returns a channel, always the same one for a service, that is closed when another
	// engine has taken over the service. From then on the methods that would change one of its
	// connections return ErrFenced.
	Fenced(service string) <-chan struct{}
}

// IsImmediate reports whether no method of the log waits for a device or a
// network.
func IsImmediate(l Log) bool {
	i, ok := l.(Immediate)
	return ok && i.Immediate()
}
