package kernel

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/rawio/internal/gate"
)

// engineVariable makes the test binary an engine of which the gate is all there is,
// attached to the interface whose index is in it; see order.
const engineVariable = "FTNET_GATE_TEST_ENGINE"

// bpffsVariable says where it is pinned.
const bpffsVariable = "FTNET_GATE_TEST_BPFFS"

const childID = "0000c41d"

func init() {
	helpers = append(helpers, func() {
		if ifindex := os.Getenv(engineVariable); ifindex != "" {
			if err := runEngine(ifindex); err != nil {
				fmt.Fprintln(os.Stderr, "engine:", err)
				os.Exit(1)
			}
			os.Exit(0)
		}
	})
}

// order is what such an engine does with a slot.
type order struct {
	Slot   uint32
	Store  *slotState    // it gets this state,
	Bind   *segment.Flow // and this flow;
	Event  bool          // or an event is read,
	Ignore bool          // or the service is let alone for a while,
	Watch  bool          // or it is an unmodified one, and releases are watched
}

// childEngine is such a process.
type childEngine struct {
	cmd *exec.Cmd
	in  *json.Encoder
	out *json.Decoder
}

// startEngine starts one in the calling thread's network namespace.
func startEngine(t *testing.T, ifindex int, bpffs string) *childEngine {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), engineVariable+"="+strconv.Itoa(ifindex), bpffsVariable+"="+bpffs)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	e := &childEngine{cmd, json.NewEncoder(in), json.NewDecoder(bufio.NewReader(out))}
	t.Cleanup(e.kill)
	e.answer(t)
	return e
}

// do gives an order; the answer is the event that was read, if any.
func (e *childEngine) do(t *testing.T, o order) gate.Event {
	t.Helper()
	must(t, e.in.Encode(o))
	return e.answer(t)
}

func (e *childEngine) answer(t *testing.T) (ev gate.Event) {
	t.Helper()
	must(t, e.out.Decode(&ev))
	return ev
}

// kill returns when the process is gone.
func (e *childEngine) kill() {
	_ = e.cmd.Process.Signal(unix.SIGKILL) // it may have ended
	_ = e.cmd.Wait()
}

func runEngine(ifindex string) error {
	index, err := strconv.Atoi(ifindex)
	if err != nil {
		return err
	}
	g, err := Load(Config{MaxConns: 8, ID: childID, OutputBuffer: 1 << 20, BPFFS: os.Getenv(bpffsVariable)})
	if err != nil {
		return err
	}
	if err := g.Attach(index); err != nil {
		return err
	}
	if err := g.SetService(servicePort, gate.ServiceListen, false); err != nil {
		return err
	}
	in, out := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	events := make([]gate.Event, 1)
	for err = out.Encode(gate.Event{}); err == nil; err = out.Encode(events[0]) {
		var o order
		if err = in.Decode(&o); err == io.EOF {
			return nil
		}
		if err == nil {
			err = g.obey(o, events)
		}
		if err != nil {
			return err
		}
	}
	return err
}

func (g *Gate) obey(o order, events []gate.Event) error {
	if o.Event {
		for n := 0; n == 0; {
			var err error
			if n, err = g.Events().TryReadBatch(events); err != nil {
				return err
			}
		}
	}
	if o.Ignore {
		return g.DeleteService(servicePort)
	}
	if o.Watch {
		if err := g.SetService(servicePort, gate.ServiceListen, true); err != nil {
			return err
		}
		if err := g.WatchReleases(); err != nil {
			return err
		}
	}
	if o.Store != nil {
		o.Store.store(g.Slot(o.Slot))
	}
	if o.Bind != nil {
		return g.Bind(*o.Bind, o.Slot)
	}
	return nil
}
