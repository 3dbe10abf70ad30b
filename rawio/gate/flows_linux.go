package gate

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/cilium/ebpf"

	"github.com/ftnet/ftnet/internal/segment"
)

func (k flowKey) flow() segment.Flow {
	end := func(addr [16]byte, port [2]byte) netip.AddrPort {
		return netip.AddrPortFrom(netip.AddrFrom16(addr).Unmap(), uint16(port[0])<<8|uint16(port[1]))
	}
	return segment.Flow{Client: end(k.Client, k.ClientPort), Server: end(k.Server, k.ServerPort)}
}

// Flows returns all bound flows and their slots, but for those of BindProof. A flow that is bound or unbound
// meanwhile may or may not be among them.
func (g *Gate) Flows() (map[segment.Flow]uint32, error) {
	flows, err := g.flows()
	for f, slot := range flows {
		if slot == proofSlot {
			delete(flows, f)
		}
	}
	return flows, err
}

// dropProofs unbinds what an engine before has bound by BindProof.
func (g *Gate) dropProofs() error {
	flows, err := g.flows()
	for f, slot := range flows {
		if slot == proofSlot {
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

// Services returns all protected ports, in no order.
func (g *Gate) Services() ([]Service, error) {
	var list []Service
	var key serviceKey
	var value uint32
	all := g.objs.Services.Iterate()
	for all.Next(&key, &value) {
		list = append(list, Service{key.Port, ServiceState(value & serviceState), value&serviceUnmodified != 0})
	}
	if err := all.Err(); err != nil {
		return nil, fmt.Errorf("gate: list services: %w", err)
	}
	return list, nil
}
