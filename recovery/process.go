package recovery

import (
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/ftnet/ftnet/internal/supervisor"
	"github.com/ftnet/ftnet/rawio"
)

// State is the state of a service's process. It is the only one that is kept: the status
// page and package daemon derive theirs from it.
//
//	           listens           asked to end
//	Starting ──────────► Running ────────────► Stopping ─────► Stopped ──► Starting
//	  ▲  │                  │                     │     ended
//	  │  │ ends             │ ends                │ Run is about to return (from any state)
//	  │  ▼                  ▼                     ▼
//	  └─ Restarting ◄───────┘                  Draining ─────► Ended ──► Starting
//	                                                   drained
type State int

const (
	Starting   State = iota + 1 // its process runs, or is about to, and does not listen yet
	Running                     // it has begun to listen
	Restarting                  // it has ended, and waits for its next start
	Stopping                    // it is asked to end
	Stopped                     // on request; it can be started again
	Draining                    // it has ended for good, and its connections drain
	Ended                       // Run has returned; it can be called again
)

var stateNames = [...]string{
	Starting: "starting", Running: "running", Restarting: "restarting", Stopping: "stopping", Stopped: "stopped",
	Draining: "draining", Ended: "ended",
}

func (s State) String() string {
	if s < Starting || s > Ended {
		return fmt.Sprintf("State(%d)", int(s))
	}
	return stateNames[s]
}

// transitions are the states that may follow each one.
var transitions = [...][]State{
	0:          {Starting},                                          // of a service that is new
	Starting:   {Starting, Running, Restarting, Stopping, Draining}, // Starting: the start has failed, and is tried again
	Running:    {Running, Restarting, Stopping, Draining},           // Running: another process of it listens
	Restarting: {Starting, Stopping, Draining},
	Stopping:   {Stopping, Restarting, Stopped, Draining}, // Stopping: the process has ended
	Stopped:    {Starting, Draining},
	Draining:   {Draining, Ended},
	Ended:      {Starting},
}

// strict makes an impossible transition a panic. It is set by tests: an engine that has
// connections to keep logs it, and goes on in the state that it was told.
var strict bool

// process is what is known of the supervised process. Its state changes by the methods
// that begin with become, one for each state.
type process struct {
	log        hclog.Logger
	state      State
	since      time.Time // in this state
	pid        int       // that serves
	supervised int       // that was started; 0 while there is none
	ready      bool      // the probe of a server in config.ModeListen has succeeded
	served     bool      // it has been all that Await waits for since Run or Start
	restarts   uint64
	listenedAt time.Time // last
	recovering int       // connections that the last listening has begun to recover
	ending     bool      // it has ended, and Exited has not told the engine yet
	lastExit   string
	result     error // of Ended
	fellBack   error // why this process is the one before the last Restart once more
	// lost are the connections that were reset since the last Restart, and why.
	lost map[rawio.Flow]string
}

// may reports whether a state may follow the present one.
func (p *process) may(to State) bool { return slices.Contains(transitions[p.state], to) }

// become changes the state.
func (p *process) become(to State, pid int) {
	if !p.may(to) {
		if strict {
			panic(fmt.Sprintf("impossible transition [%v -> %v]", p.state, to))
		}
		p.log.Error("impossible transition of the process's state", "from", p.state, "to", to)
	}
	p.state, p.pid, p.since = to, pid, time.Now()
}

// becomeStarting is for when a process is about to be started, or Run to be.
func (p *process) becomeStarting() {
	if p.state == Stopped || p.state == Ended {
		p.served = false
	}
	p.become(Starting, 0)
	p.ready, p.result = false, nil
}

// becomeRunning is for when a process listens. It returns false if the service has no
// process that may begin to: it is ending, or its last words come late.
func (p *process) becomeRunning(pid int) bool {
	if p.state == Running && p.pid == pid {
		return true
	}
	if !p.may(Running) {
		return false
	}
	p.become(Running, pid)
	return true
}

// becomeStopping is for when the process is asked to end.
func (p *process) becomeStopping() { p.become(Stopping, p.pid) }

// becomeExited is for when the process has been reaped: its state says what follows.
func (p *process) becomeExited(e supervisor.Exit) {
	p.lastExit = e.String()
	switch {
	case !e.Again:
		p.become(Draining, 0)
	case e.Kind == supervisor.Stopped:
		p.become(Stopping, 0) // until Halted
	default:
		p.become(Restarting, 0)
	}
}

// becomeStopped is for when a stop that was asked for has taken effect.
func (p *process) becomeStopped() { p.become(Stopped, 0) }

// becomeDraining is for when no start will follow.
func (p *process) becomeDraining() { p.become(Draining, 0) }

// becomeEnded is for when Run returns.
func (p *process) becomeEnded(result error) {
	p.become(Ended, 0)
	p.result = result
}

// Standing is where a service stands.
type Standing struct {
	State  State
	Served bool  // it has been what Await waits for since Run or Start; a crash does not change that
	Err    error // in Ended, the result of Run
}

// Standing returns where the service stands, and a channel that is closed when that may
// have changed.
func (s *Service) Standing() (now Standing, changed <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Standing{State: s.process.state, Served: s.process.served, Err: s.process.result}, s.changed
}

// listens notes that a process of the service listens. s.mu is held.
func (s *Service) listens(pid int) {
	if s.process.becomeRunning(pid) && s.sup != nil {
		s.sup.Confirm()
	}
	s.notify()
}

// notify wakes those who wait for a change. s.mu is held.
func (s *Service) notify() {
	if s.process.state == Running && !s.process.served {
		done, _, err := s.serving()
		s.process.served = done && serves(err)
	}
	close(s.changed)
	s.changed = make(chan struct{})
}
