package recovery

import (
	"errors"
	"testing"

	"github.com/ftnet/ftnet/internal/status"
	"github.com/ftnet/ftnet/internal/supervisor"
)

func init() { strict = true }

// doors are the ways into the states.
var doors = map[string]func(*process){
	"start":   (*process).becomeStarting,
	"listen":  func(p *process) { p.becomeRunning(7) },
	"stop":    (*process).becomeStopping,
	"crash":   func(p *process) { p.becomeExited(supervisor.Exit{Kind: supervisor.Crashed, Again: true}) },
	"stopped": func(p *process) { p.becomeExited(supervisor.Exit{Kind: supervisor.Stopped, Again: true}) },
	"exit":    func(p *process) { p.becomeExited(supervisor.Exit{Kind: supervisor.Clean}) },
	"halt":    (*process).becomeStopped,
	"give up": (*process).becomeDraining,
	"end":     func(p *process) { p.becomeEnded(nil) },
}

// TestProcessStates: a process's ways through its states, as the supervisor's hooks and the
// control protocol take them, and what the status page says of each state.
func TestProcessStates(t *testing.T) {
	type step struct {
		door  string
		state State
		page  status.ProcessState
	}
	start := step{"start", Starting, status.ProcessStarting}
	listen := step{"listen", Running, status.ProcessRunning}
	stop, halt := step{"stop", Stopping, status.ProcessStopping}, step{"halt", Stopped, status.ProcessStopped}
	crash := step{"crash", Restarting, status.ProcessRestarting}
	giveUp, end := step{"give up", Draining, status.ProcessEnded}, step{"end", Ended, status.ProcessEnded}
	for name, steps := range map[string][]step{
		"crash":              {start, listen, crash, start, listen, listen},
		"stop":               {start, listen, stop, {"stopped", Stopping, status.ProcessStopping}, halt, start},
		"stop in a pause":    {start, crash, stop, halt, giveUp, end},
		"end":                {start, listen, {"exit", Draining, status.ProcessEnded}, giveUp, end, start},
		"given up":           {start, start, crash, giveUp, giveUp, end},
		"late words, ending": {start, stop, {"listen", Stopping, status.ProcessStopping}},
		"late words, ended":  {start, crash, {"listen", Restarting, status.ProcessRestarting}, start},
	} {
		t.Run(name, func(t *testing.T) {
			var p process
			for i, s := range steps {
				doors[s.door](&p)
				if p.state != s.state || p.status().State != s.page {
					t.Fatalf("step %d, %s: %v, %v on the page; want %v, %v", i, s.door, p.state, p.status().State, s.state, s.page)
				}
			}
		})
	}
}

// TestImpossible: doors are guarded, but for that which what a server says opens.
func TestImpossible(t *testing.T) {
	for from := Starting; from <= Ended; from++ {
		for name, door := range doors {
			p := process{state: from, pid: 1}
			err := func() (err any) {
				defer func() { err = recover() }()
				door(&p)
				return nil
			}()
			moved := p.state != from || p.pid != 1
			if err != nil && (moved || name == "listen") {
				t.Errorf("%v, %s: %v, and is in %v", from, name, err, p.state)
			}
			if err == nil && !(&process{state: from}).may(p.state) && name != "listen" {
				t.Errorf("%v, %s: is in %v", from, name, p.state)
			}
		}
	}
}

// TestServed: that the service has served is known until it is started once more after
// a stop or its end, whatever happens to its processes.
func TestServed(t *testing.T) {
	var p process
	p.becomeStarting()
	p.becomeRunning(7)
	p.served = true
	p.becomeExited(supervisor.Exit{Kind: supervisor.Crashed, Again: true})
	p.becomeStarting()
	if !p.served {
		t.Error("a crash makes it begin anew")
	}
	p.becomeDraining()
	p.becomeEnded(errors.New("gave up"))
	if p.becomeStarting(); p.served || p.result != nil {
		t.Error("served before it was started again: ", p.served, p.result)
	}
}
