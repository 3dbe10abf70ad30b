package control

// Credentials are a peer's as the kernel knows them. PID is 0 if the peer
// lives in another process namespace.
type Credentials struct {
	PID      int
	UID, GID uint32
}

// Peer is a server process, that is, one control connection.
type Peer struct {
	ID    uint64 // counts from 1, never reused
	Cred  Credentials
	Hello Hello
	// Memory is what came with a Hello that resumes, -1 else. It may be anything.
	// It is closed when Handler.Hello returns.
	Memory int

	progress map[uint64]*progress // of its listeners
	resumed  bool
}

// Handler is the engine's side. Calls for one peer's control connection come
// one after another, Hello first and Gone last; ReadLog comes from other
// goroutines as well, also before Hello and after Gone. An error is sent to the
// peer as it is if it is an *Error, else as refused.
type Handler interface {
	// Hello admits a process. Welcome.FD is sent along and stays the handler's.
	Hello(p *Peer) (Welcome, error)
	// Protect is called before the listener is bound, or, with Left, after it was closed.
	Protect(p *Peer, m Protect) error
	// Listening returns when the gate is armed.
	Listening(p *Peer, m Listening) (ListeningReply, error)
	Closed(p *Peer, m Closed) error
	// Mismatch returns when the connection counts as lost.
	Mismatch(p *Peer, m Mismatch) error
	// ReadLog fills buf, len(buf) == r.N, and returns how much the log had, or with r.State how long
	// the state of the base is.
	ReadLog(r ReadLog, buf []byte) (int, error)
	// Gone says that the control connection has ended: nil if the process
	// closed it or died, else why the server gave it up. Hello had succeeded.
	Gone(p *Peer, err error)
}

// Rememberer is a [Handler] that gives a listener on any port the port of the one
// before it. Others answer that there is none.
type Rememberer interface {
	Handler
	Former(p *Peer, m Protect) (Former, error)
}

// Successor is a [Handler] that takes over processes whose engine is gone. To
// others such a process is refused.
//
// Its Hello may be one that resumes. Protect and Listening follow for each
// listener that the process has, and for those that are closed Protect with Left;
// then Resumed. What the process has asked meanwhile comes after that.
type Successor interface {
	Handler
	// Resumed returns when the process's connections are the engine's.
	Resumed(p *Peer) error
}
