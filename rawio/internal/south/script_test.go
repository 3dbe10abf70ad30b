package south_test

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/ftnet/ftnet/internal/policy"
	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/memory"
	"github.com/ftnet/ftnet/rawio/internal/gate/gatetest"
	"github.com/ftnet/ftnet/rawio/internal/south"
)

// TestScripts plays testdata; -rewrite writes what the core does into the
// files. A script reads like a packet trace. `new` makes an engine; each line
// of `play` is one thing that happens:
//
//	client FLAGS [SEQ[:END]] [ack N] [win N] [ts VAL ECR] [sack L:R …]
//	server [late] FLAGS [SEQ[:END]] [ack N] … [prio close|shut]
//
// Flags are tcpdump's, with A for ACK. Numbers are relative to the ISN of
// their sender; for a server segment that is the present kernel socket's.
//
//	server refuses   the answer to a SYN when nobody listens
//
// `client untapped …` passes the gate but is missed by the tap, `client late
// …` is tapped but judged only by the core (the gate stole it). What the gate
// reports of `server late …` reaches the core with `events`;
// `server other …` has another last byte.
//
//	stable           the log's upcalls are delivered (after `new manual`)
//	dying            the process is ending; nobody has told that it crashed
//	crash, listening, protect, release, abort, abortall, tick DURATION, sweep [exists]
//	jump DURATION    the clock jumps, or nobody has run for as long; then comes a tick
//	head [accepted N] [closing] [lost]     what the journal says
//	synack ISN       the kernel's next socket answers the core's SYN
//	released crash|close   the server's process lets go of the connection
//	kernel ISN       the kernel has another socket
//	outputs full|fit the ring of outputs has no room, and has again; `events full|fit` likewise
//	looksaway        no event tells, and the core looks at no slot of which none does: it has many
//	down, up         the log takes nothing and makes nothing stable; status tells it
//	fetched [N] [unreachable|failed]   the log's answer to the oldest N fetches, or all
//	                 (after `new fetched`)
//	via N            what follows comes by interface N, from 8 on one without gate; before, by 1
//	out N            the server's packets leave by interface N
//	ungated, gated RECEIVED SENT   packets pass by the gate on interface 1; not any more, and
//	                 so far has the kernel's socket come; "gated" alone: nobody knows
//	kernelhas RECEIVED SENT   how far it has come when it is asked from here on
//	trial unanswered the kernel does not answer handshakes in clients' names
//	trial answered   it does again
//	fails REASON     the engine goes on no longer
//	rebase IN OUT    the base moves there
//	                 (`restart unrecorded`, `adopt unrecorded`: there is no record, and none can be made)
//	loses            the log has lost the connection, and says so
//	restart          another engine takes over what the log holds (`new lasting`)
//	dies, adopt      the engine goes alone; another one takes over all that has lived on (`new lasting`)
//	conn, slot, log  show state
//
// The answer's lines: "-> kernel" and "-> client" are packets that pass the
// gate as the receiver gets them, "core ->" those that the core sends.
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		if strings.HasSuffix(path, ".fail") {
			return
		}
		var s *script
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "new":
				s = newScript(t, d)
				return s.take()
			case "play":
				for line := range strings.Lines(d.Input) {
					if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
						s.line(line)
					}
				}
				return s.take()
			}
			t.Fatalf("unknown command %q", d.Cmd)
			return ""
		})
	})
}

const scriptPort = 7000

type script struct {
	accepted int // connections whose client has answered
	t        *testing.T
	out      []string
	times    []int
	time     int64
	env      *fakeEnv
	machine  *south.Machine
	dying    bool // the server's process is ending
	cfg      south.Config
	service  south.Service
	log      *noteLog
	manual   bool
	dead     bool // there is no engine
	fetches  []fetchCall
	upcalls  []logserver.Upcall

	flow     segment.Flow
	irs, iss uint32 // base of relative numbers, as the client sees them
	kernel   uint32 // ISN of the kernel's present socket
	synEnd   uint32 // of the core's last SYN to the kernel
	ts, sack bool
	ws       uint8
	hasWS    bool
	clientTS uint32
	serverTS uint32
	mss      uint16 // of the client
	echo     uint32 // newest time that the client has heard
	ecn      bool
}

func newScript(t *testing.T, d *datadriven.TestData) *script {
	s := &script{
		t: t, time: 1e9, irs: 1000, iss: 5000, mss: 1460,
		flow: segment.Flow{
			Client: netip.MustParseAddrPort("10.0.0.2:4000"),
			Server: netip.MustParseAddrPort("10.0.0.1:7000"),
		},
	}
	cfg := south.Config{MaxConns: 16}
	mem, fetched := memory.Config{}, false
	for _, a := range d.CmdArgs {
		v := ""
		if len(a.Vals) > 0 {
			v = a.Vals[0]
		}
		switch a.Key {
		case "manual":
			s.manual = true
		case "fetched":
			fetched = true
		case "down":
			s.service.LogDown, s.service.DownAfter = policy.DownUnprotect, int64(s.duration(v))
		case "irs":
			s.irs = s.number(v)
		case "iss":
			s.iss = s.number(v)
		case "ts":
			s.ts = true
		case "sack":
			s.sack = true
		case "ecn":
			s.ecn = true
		case "mss":
			s.mss = uint16(s.number(v))
		case "ws":
			s.hasWS, s.ws = true, uint8(s.number(v))
		case "quota":
			s.service.Quota = int64(s.number(v))
		case "total":
			mem.QuotaTotal = int64(s.number(v))
		case "conns":
			cfg.MaxConns = s.number(v)
		case "unmodified":
			s.service.Unmodified = true
			if v == "length" {
				s.service.Compare = policy.CompareLength
			}
		case "idle":
			s.service.Log, s.service.Idle = policy.LogSinceIdle, int64(s.duration(v))
		case "lasting":
			cfg.Lasting = true
		case "off":
			s.service.Log = policy.LogOff
		case "full":
			s.service.OnFull = map[string]policy.OnFull{"close-window": policy.CloseWindow, "unprotect": policy.Unprotect, "reset": policy.ResetConn}[v]
		default:
			t.Fatalf("unknown argument %q", a.Key)
		}
	}
	s.kernel = s.iss
	s.clientTS, s.serverTS, s.echo = 100, 900, 900
	backend, err := memory.New(&mem)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = backend.Close() })
	if err := backend.RegisterService(scriptPort); err != nil {
		t.Fatal(err)
	}
	backend.SetUpcall(func(u []logserver.Upcall) { s.upcalls = append(s.upcalls, u...) })
	s.log = &noteLog{Log: backend, note: s.print, fetched: fetched}
	model := gatetest.NewModel(16)
	model.Now = func() uint64 { return uint64(s.time) }
	s.env = &fakeEnv{
		ending: func() bool { return s.dying },
		now:    func() int64 { return s.time }, gate: model, heads: map[uint32]*head{},
		toClient: func(g *segment.Segment) { s.toClient("core ->", g) },
		toServer: func(g *segment.Segment) {
			base := s.kernel
			if g.Flags.Has(segment.SYN) {
				s.synEnd = g.End() - s.irs
			}
			s.print("core -> kernel %s", s.show(g, s.irs, base))
		},
		destroy: func(segment.Flow) { s.print("kernel: destroy") },
		fetch:   s.fetch,
		report: func(r south.Report) {
			if r.Kind == south.ConnEstablished { // as most are; the command "accepted" tells
				s.accepted++
				return
			}
			line := "report: " + kindNames[r.Kind]
			if r.Reason != "" {
				line += ": " + r.Reason
			}
			s.print("%s", line)
		},
		note: s.print,
	}
	cfg.Log = s.log
	s.cfg = surround(cfg, s.env)
	s.machine = south.New(s.cfg)
	s.machine.Via(1)
	s.machine.Protect(scriptPort, s.service)
	return s
}

var kindNames = map[south.Kind]string{
	south.ConnOpened: "opened", south.ConnClosed: "closed", south.ConnReset: "reset",
	south.ConnUnprotected: "unprotected", south.ConnRecovered: "recovered",
	south.ServiceRecovered: "service recovered", south.ConnCrashed: "process crashed", south.ConnMismatch: "mismatch", south.ConnWaits: "waits", south.QuotaFull: "quota full", south.SYNRefused: "SYN refused",
}

// print adds a line to the answer; repeated ones are counted.
func (s *script) print(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	if n := len(s.out); n > 0 && s.out[n-1] == line {
		s.times[n-1]++
		return
	}
	s.out, s.times = append(s.out, line), append(s.times, 1)
}

func (s *script) take() string {
	var b strings.Builder
	for i, line := range s.out {
		b.WriteString(line)
		if s.times[i] > 1 {
			fmt.Fprintf(&b, " (%d times)", s.times[i])
		}
		b.WriteByte('\n')
	}
	s.out, s.times = nil, nil
	return b.String()
}

func (s *script) duration(v string) time.Duration {
	d, err := time.ParseDuration(v)
	if err != nil {
		s.t.Fatal(err)
	}
	return d
}

func (s *script) number(v string) uint32 {
	n, err := strconv.ParseUint(v, 0, 32)
	if err != nil {
		s.t.Fatal(err)
	}
	return uint32(n)
}

// settle is what the engine does after each batch.
func (s *script) settle() {
	for {
		if !s.manual && len(s.upcalls) > 0 {
			s.stable()
		}
		s.machine.Flush()
		if s.manual || len(s.upcalls) == 0 {
			return
		}
	}
}

func (s *script) stable() {
	u := s.upcalls
	s.upcalls = nil
	s.machine.Stable(u)
}
