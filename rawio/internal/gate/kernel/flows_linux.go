package kernel

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/cilium/ebpf"

	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/rawio/internal/gate"
)

// flowKey is struct flow_key in bpf/maps.h: addresses as 16 bytes, everything
// in network order.
type flowKey struct {
	Client, Server         [16]byte
	ClientPort, ServerPort [2]byte
}

func keyOf(f segment.Flow) flowKey {
	c, s := f.Client.Port(), f.Server.Port()
	return flowKey{
		Client:     f.Client.Addr().As16(),
		Server:     f.Server.Addr().As16(),
		ClientPort: [2]byte{byte(c >> 8), byte(c)},
		ServerPort: [2]byte{byte(s >> 8), byte(s)},
	}
}

func (k flowKey) flow() segment.Flow {
	end := func(addr [16]byte, port [2]byte) netip.AddrPort {
		return netip.AddrPortFrom(netip.AddrFrom16(addr).Unmap(), uint16(port[0])<<8|uint16(port[1]))
	}
	return segment.Flow{Client: end(k.Client, k.ClientPort), Server: end(k.Server, k.ServerPort)}
}

// Bind makes the gate judge the flow's packets by the slot, which must be filled
// in before. It replaces an earlier binding of the flow. Binding a flow and
// changing it cost the same for any number of connections.
func (g *Gate) Bind(flow segment.Flow, slot uint32) error {
	if uint64(slot) >= uint64(len(g.slots)) {
		return gate.ErrSlot
	}
	if err := g.objs.Conns.Put(keyOf(flow), slot); err != nil {
		return fmt.Errorf("gate: bind %v: %w", flow, err)
	}
	return nil
}

// Unbind forgets the flow; one that is not bound is no error. A packet that is
// being judged on another CPU may still use the slot for a moment.
func (g *Gate) Unbind(flow segment.Flow) error {
	err := g.objs.Conns.Delete(keyOf(flow))
	if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return fmt.Errorf("gate: unbind %v: %w", flow, err)
	}
	return nil
}

// BindProof has the gate say that it is in the way of the flow's packets, which are not
// a connection's: it reports one that leaves as EventProofOut and sends it back in by the
// same interface; what comes in it reports as EventProofIn and consumes. Both
// ends of the flow should be the same, with a service's port, so that a packet is of it
// both ways. Unbind ends it; so does Adopt, for the flows of the engine before. There is
// room for two such flows beside those of connections.
func (g *Gate) BindProof(flow segment.Flow) error {
	if err := g.objs.Conns.Put(keyOf(flow), uint32(gate.ProofSlot)); err != nil {
		return fmt.Errorf("gate: bind %v: %w", flow, err)
	}
	return nil
}

// Flows returns all bound flows and their slots, but for those of BindProof. A flow that is bound or unbound
// meanwhile may or may not be among them.
func (g *Gate) Flows() (map[segment.Flow]uint32, error) {
	flows, err := g.flows()
	for f, slot := range flows {
		if slot == gate.ProofSlot {
			delete(flows, f)
		}
	}
	return flows, err
}

// dropProofs unbinds what an engine before has bound by BindProof.
func (g *Gate) dropProofs() error {
	flows, err := g.flows()
	for f, slot := range flows {
		if slot == gate.ProofSlot {
			err = errors.Join(err, g.Unbind(f))
		}
	}
	return err
}

func (g *Gate) flows() (map[segment.Flow]uint32, error) {
	const attempts = 10
	var err error
	for range attempts {
		flows := make(map[segment.Flow]uint32)
		var key flowKey
		var slot uint32
		all := g.objs.Conns.Iterate()
		for all.Next(&key, &slot) {
			flows[key.flow()] = slot
		}
		// If the key that was read last is deleted, the kernel begins anew.
		if err = all.Err(); !errors.Is(err, ebpf.ErrIterationAborted) {
			if err != nil {
				err = fmt.Errorf("gate: list flows: %w", err)
			}
			return flows, err
		}
	}
	return nil, fmt.Errorf("gate: list flows: %w", err)
}
