package south_test

import (
	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/rawio/internal/gate/gatetest"
	"github.com/ftnet/ftnet/rawio/internal/south"
)

// storedOf reads what Machine.Restore needs from a log.
func storedOf(log logserver.Log) (list []south.Stored) {
	metas, err := log.Active(0, 1<<20)
	if err != nil {
		panic(err)
	}
	for _, m := range metas {
		s := south.Stored{Meta: m}
		if _, s.End, err = log.Length(m.ID); err != nil {
			panic(err)
		}
		if s.Reads, err = log.Reads(m.ID); err != nil {
			panic(err)
		}
		list = append(list, s)
	}
	return list
}

// restart is the death of the engine and its server: nothing is left but the
// log.
func (s *script) restart(unrecorded bool) {
	model := gatetest.NewModel(16)
	model.Now = func() uint64 { return uint64(s.time) }
	s.env.gate, s.env.heads, s.env.unrecorded, s.upcalls = model, map[uint32]*head{}, unrecorded, nil
	s.machine = south.New(s.cfg)
	s.print("%d restored", s.machine.Restore(scriptPort, s.service, storedOf(s.log.Log)))
}

// adopt is the start of another engine where the server, its sockets, the journal and the
// gate live on.
func (s *script) adopt(unrecorded bool) {
	flows, _ := s.env.gate.Flows() // cannot fail
	s.dead, s.upcalls, s.env.adopted, s.env.unrecorded = false, nil, true, unrecorded
	s.machine = south.New(s.cfg)
	s.machine.Inherit(flows)
	s.print("%d adopted", s.machine.Adopt(scriptPort, s.service, s.env.outage, storedOf(s.log.Log)))
}

// reads are those that the server makes.
func (s *script) reads(lengths []string) {
	h := s.env.heads[s.machine.Conn(s.flow).Slot()]
	for _, w := range lengths {
		h.reads = append(h.reads, int(s.number(w)))
	}
	copied, left := s.machine.CopyReads()
	runs, err := s.log.Reads(s.machine.Conn(s.flow).ID)
	if err != nil {
		s.t.Fatal(err)
	}
	s.print("%d copied, %d left: %v", copied, left, runs)
}
