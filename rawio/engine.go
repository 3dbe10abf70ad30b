package rawio

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/ftnet/ftnet/internal/fwmark"
	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/internal/sockdiag"
	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/rawio/internal/conntrack"
	"github.com/ftnet/ftnet/rawio/internal/gate"
	"github.com/ftnet/ftnet/rawio/internal/inject"
	"github.com/ftnet/ftnet/rawio/internal/south"
	"github.com/ftnet/ftnet/rawio/internal/tap"
)

// Config of an Engine. The zero value of an optional field means its default.
type Config struct {
	// ID names the engine: eight hex digits, unique on the host. Required.
	ID string
	// Log is the log server. It is the caller's to close. Required.
	Log logserver.Log
	// Interfaces names the interfaces that carry the service. Default: all
	// that are up, and those that come up later.
	Interfaces []string
	// MaxConns bounds the protected connections. Default 65536.
	MaxConns int
	// OutputBuffer is the size of the ring buffer for captured output of unmodified servers, bytes: a
	// power of two. 0 is for engines without such servers; DefaultOutputBuffer is a good value for others.
	OutputBuffer int
	// DeadAfter is how long after the engine's last heartbeat the gate still holds packets that
	// the engine has to judge. Then everything passes, unprotected. 0 means that the gate
	// holds them until there is another engine.
	DeadAfter time.Duration
	// BPFFS is the path of the BPF file system that the gate is pinned in, see BPFFS.Open.
	// Empty means that it is not pinned. What stands in the way of it is logged, and no error.
	BPFFS string
	// Epoch orders the engines that have the ID one after another: see kernel.Config.
	Epoch uint64
	// Mark is set in what the engine sends; the other bits are those of the connection's
	// own packets. Default: no bits.
	Mark fwmark.Mark
	// Adopt says that an engine with this ID was killed and has left its gate, which is taken over; see
	// Service.Adopt. MaxConns and OutputBuffer are those of that gate. Open
	// fails if there is no such gate, or it is one of another version.
	Adopt bool
	// Heirs are the services whose ports the gate holds from the first packet on, until TakeOver.
	Heirs []Heir
	// Forget says that connections which an earlier engine has left in the log are not recovered.
	Forget bool
	// ReceiveBuffer of the tap, bytes. Default 64 MiB.
	ReceiveBuffer int
	// Logger gets the messages for operators. Default: nothing is logged.
	Logger hclog.Logger
	// Reports, if not nil, is called for each report. It must not block and must not call
	// the Engine.
	Reports func(Report)
	// Trace, if not nil, is called for each rise of a connection's stable number,
	// before an ACK with that number can leave; now is Unix time in ns, like the times of captures.
	// For tests and debugging; same rules as Reports.
	Trace func(flow Flow, stable uint32, now int64)
}

// Engine is a running packet engine. Its methods may be called concurrently, and after Close,
// too: then they change nothing, and what needs the gate returns an error that is net.ErrClosed.
type Engine struct {
	cfg  Config
	log  hclog.Logger
	gate packetGate
	// reports reads the gate's events, captures the captured output; captures needs an OutputBuffer.
	reports  eventReader
	captures outputReader
	tap      packetTap
	inject   injector
	table    socketTable
	links    *links
	// tracked is netfilter's connection tracking.
	tracked   conntrack.Table
	addresses addresses

	mu      sync.Mutex // guards what follows
	machine *south.Machine
	gone    bool // the gate is another engine's: the core must not run any more
	env     *environment
	closed  bool // the gate is not there any more
	ports   map[uint16]*Service
	batch   *tap.Batch
	inPlace inPlace
	decoder segment.Decoder
	decoded segment.Segment
	// fragments are the IP fragments of segments that are not complete yet.
	fragments segment.Reassembler
	dataSeen  bool // some packet of the tap, since the last drain, was not a pure ACK

	trials  trials
	unseen  unseen
	before  predecessor
	upcalls upcalls
	fetches fetches
	busy    atomic.Bool // the core is running, and will take the upcalls
	ticks   *ticker
	late    bool // the gate has opened connections, and its flows are still to be read: see beat. For tickLoop only
	keeper  keeper

	tapPackets atomic.Uint64
	tapBytes   atomic.Uint64
	sendErrors atomic.Uint64
	badPackets atomic.Uint64

	tapFragments atomic.Uint64

	failure failure
	ending  atomic.Bool   // Close was called
	closing chan struct{} // the loops are to end
	ended   chan struct{} // Close has done its work
	endErr  error         // of Close; valid when ended is closed
	wg      sync.WaitGroup
}

// Open loads the gate, attaches it and starts the engine. Nothing is protected
// until Protect is called.
func Open(cfg Config) (*Engine, error) {
	if cfg.MaxConns == 0 {
		cfg.MaxConns = gate.DefaultMaxConns
	}
	if cfg.Logger == nil {
		cfg.Logger = hclog.NewNullLogger()
	}
	if cfg.Log == nil {
		return nil, errors.New("rawio: Config needs a Log")
	}
	e := newEngine(cfg)
	if err := e.open(); err != nil {
		e.Close()
		return nil, err
	}
	e.unseen.last = time.Now() // when the gate is on the interfaces
	e.start()
	return e, nil
}

// newEngine returns an engine that does not use its host yet.
func newEngine(cfg Config) *Engine {
	e := &Engine{
		cfg: cfg, log: cfg.Logger.Named("engine"), table: kernelSockets{},
		failure: newFailure(), closing: make(chan struct{}), ended: make(chan struct{}), ports: map[uint16]*Service{},
		before: predecessor{gate: map[uint16]gate.ServiceState{}, held: map[uint16]bool{}},
		batch:  tap.NewBatch(tapBatch), inPlace: newInPlace(cfg.Log), unseen: newUnseen(), trials: newTrials(),
	}
	e.unseen.list, e.unseen.tracked = e.unseen.listSockets, e.tracked.Lookup
	e.unseen.watch = func() (socketWatcher, error) { return e.table.Watch() }
	return e
}

func (e *Engine) open() (err error) {
	if err := sockdiag.Supported(); err != nil {
		return fmt.Errorf("rawio: no connection could be recovered: %w", err)
	}
	if err := e.openHost(); err != nil {
		return err
	}
	if err := e.assemble(); err != nil {
		return err
	}
	e.links, err = openLinks(linksConfig{
		gate: e.gate, names: e.cfg.Interfaces, log: e.log, adopted: e.cfg.Adopt, changed: e.guarded, catchUp: e.catchUp,
	})
	if err != nil {
		return err
	}
	return e.openCarrier()
}

// openHost opens gate, injector and tap.
func (e *Engine) openHost() error {
	g, err := e.openGate()
	if err != nil {
		return err
	}
	i, err := openInjector(g, e.stays)
	if err != nil {
		return err
	}
	e.inject = i
	t, err := tap.Open(tap.Config{Filter: g.TapFilter(), ReceiveBuffer: e.cfg.ReceiveBuffer})
	if err != nil {
		return fmt.Errorf("rawio: open the tap: %w", err)
	}
	e.tap = t
	return nil
}

// assemble makes the core, and connects it with log, gate and injector.
func (e *Engine) assemble() error {
	e.unseen.atGate = e.gate.Aliases
	e.env = newEnvironment(e)
	e.fetches.e = e
	core := e.env.core()
	core.Log, core.Lasting = e.cfg.Log, e.lasting()
	core.MaxConns, core.Captures = uint32(e.cfg.MaxConns), e.cfg.OutputBuffer/2
	if trace := e.cfg.Trace; trace != nil {
		core.Trace = func(c *south.Conn, stable uint32) { trace(c.Flow, stable, time.Now().UnixNano()) }
	}
	e.machine = south.New(core)
	e.trials.handshaker = e.handshaker()
	if err := e.inherit(); err != nil {
		return err
	}
	for i := range e.cfg.Heirs {
		if err := e.hold(&e.cfg.Heirs[i]); err != nil {
			return err
		}
	}
	e.upcalls.wake = make(chan struct{}, 1)
	e.cfg.Log.SetUpcall(e.upcall)
	e.cfg.Log.SetStatusUpcall(e.logStatus)
	e.logStatus(e.cfg.Log.Status())
	return nil
}

// openInjector opens an injector and adds its sockets to the gate's senders.
func openInjector(g senderGate, stays func(netip.Addr, uint32) bool) (*inject.Injector, error) {
	i, err := inject.Open(inject.Config{Device: deviceOf(g), Turn: gate.TurnAddress, Stays: stays})
	if err != nil {
		return nil, fmt.Errorf("rawio: open the injector: %w", err)
	}
	sockets, err := i.Sockets()
	for sender, cookies := range map[gate.Sender][]uint64{
		gate.ToClient: sockets.ToClient, gate.ToServer: sockets.ToServer, gate.Turns: sockets.Turns,
	} {
		for _, c := range cookies {
			err = errors.Join(err, g.AddSender(c, sender))
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("rawio: %w", err), i.Close())
	}
	return i, nil
}

func (e *Engine) start() {
	e.ticks = newTicker()
	e.wg.Go(e.receiveLoop)
	if e.cfg.OutputBuffer > 0 {
		e.wg.Go(e.outputLoop)
	}
	e.wg.Go(e.tickLoop)
	e.wg.Go(e.upcallLoop)
	e.wg.Go(e.unseenLoop)
	e.wg.Go(e.keepLoop)
	e.wg.Go(e.trialLoop)
	if e.lasting() {
		e.wg.Go(e.readsLoop)
	}
	e.wg.Go(func() { e.links.watch(e.closing) })
}

// Close stops the engine and removes the gate from every interface. What is
// still protected is left to the kernel as it is: call Release before. Whoever calls it again
// waits until that is done, and gets the same error.
func (e *Engine) Close() error {
	if e.ending.CompareAndSwap(false, true) {
		e.endErr = e.close()
		close(e.ended)
	}
	<-e.ended
	return e.endErr
}

func (e *Engine) close() error {
	close(e.closing)
	var errs []error
	if e.tap != nil {
		errs = append(errs, e.tap.Close())
	}
	e.unseen.close()
	e.fetches.close()
	e.wg.Wait() // the goroutines use the gate's memory; this takes a millisecond
	if e.links != nil {
		e.links.close()
	}
	e.mu.Lock() // an upcall that is under way may use it, too
	defer e.mu.Unlock()
	e.closed = true
	if e.env != nil {
		e.env.close()
	}
	if e.gate != nil {
		errs = append(errs, e.gate.Close()) // from here on no packet is held
	}
	if e.inject != nil {
		errs = append(errs, e.inject.Close())
	}
	return errors.Join(errs...)
}

// do calls f with the core, and then processes everything that follows: upcalls
// that were made meanwhile, raised stable numbers, ACKs. After Close it does nothing.
func (e *Engine) do(f func(m *south.Machine)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.closed {
		e.run(f)
	}
}

// atGate runs f on the gate, with the engine's lock held. After Close it returns net.ErrClosed.
func (e *Engine) atGate(f func(g packetGate) error) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return net.ErrClosed
	}
	return f(e.gate)
}

// run is do with e.mu held. It does nothing once the gate is another engine's.
func (e *Engine) run(f func(m *south.Machine)) {
	if e.gone {
		return
	}
	e.busy.Store(true)
	f(e.machine)
	if e.gone {
		return // and stays busy: nobody is to wake it
	}
	e.flush()
	e.busy.Store(false)
	if e.upcalls.pending() { // made after flush had taken the upcalls, when wake did nothing
		e.flush()
	}
}

// flush takes upcalls and flushes the core until there are no more upcalls. e.mu is held.
func (e *Engine) flush() {
	for {
		if s, ok := e.upcalls.takeStatus(); ok {
			e.machine.LogStatus(s)
		}
		if list := e.upcalls.take(); len(list) > 0 {
			e.machine.Stable(list)
		}
		e.machine.Flush()
		if !e.upcalls.pending() {
			break
		}
	}
	e.env.flush()
	e.ticks.set(e.machine.Busy())
}
