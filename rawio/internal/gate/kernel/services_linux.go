package kernel

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"

	"github.com/ftnet/ftnet/rawio/internal/gate"
)

// SERVICE_STATE, SERVICE_UNMODIFIED and SERVICE_TRANSPARENT in bpf/maps.h.
const (
	serviceState       = 1<<8 - 1
	serviceUnmodified  = 1 << 8
	serviceTransparent = 1 << 9
)

// serviceKey is struct service_key in bpf/maps.h.
type serviceKey struct {
	Port   uint16
	Family uint8 // 0: any
	_      uint8
}

// SetService protects the port on all addresses, or changes its state. It takes
// effect with the next packet. unmodified says that the server announces nothing:
// WatchReleases then looks at its sockets. What the gate does with a connection's
// packets depends on the slot's FlagUnmodified instead.
func (g *Gate) SetService(port uint16, state gate.ServiceState, unmodified bool) error {
	value := uint32(state)
	if unmodified {
		value |= serviceUnmodified
	}
	old, err := g.service(port)
	if err == nil {
		err = g.objs.Services.Put(serviceKey{Port: port}, value|old&serviceTransparent)
	}
	if err != nil {
		return fmt.Errorf("gate: service %d: %w", port, err)
	}
	return nil
}

// service returns the value of a port; 0: it is not protected.
func (g *Gate) service(port uint16) (value uint32, err error) {
	if err = g.objs.Services.Lookup(serviceKey{Port: port}, &value); errors.Is(err, ebpf.ErrKeyNotExist) {
		err = nil
	}
	return value, err
}

// SetTransparent says whether the listener of a protected port takes connections to
// addresses of other hosts (IP_TRANSPARENT). If so, the port is the service's at all
// addresses, also where the host forwards for others. It lasts until DeleteService. Calls
// must not overlap with those of SetService.
func (g *Gate) SetTransparent(port uint16, transparent bool) error {
	value, err := g.service(port)
	if is := value&serviceTransparent != 0; err == nil && value != 0 && is != transparent {
		err = g.objs.Services.Put(serviceKey{Port: port}, value^serviceTransparent)
	}
	if err != nil {
		return fmt.Errorf("gate: service %d: %w", port, err)
	}
	return nil
}

// Transparent reports what SetTransparent has said.
func (g *Gate) Transparent(port uint16) (bool, error) {
	value, err := g.service(port)
	return value&serviceTransparent != 0, err
}

// Aliases returns the ports that are not protected and at which the listener of a protected
// one has taken connections since the gate was loaded, and that one's port: what TPROXY
// does. The gate sees no more of these connections.
func (g *Gate) Aliases() (map[uint16]uint16, error) {
	list := map[uint16]uint16{}
	var port, at uint16
	all := g.objs.Aliases.Iterate()
	for all.Next(&port, &at) {
		list[port] = at
	}
	if err := all.Err(); err != nil && !errors.Is(err, ebpf.ErrIterationAborted) {
		return nil, fmt.Errorf("gate: list aliases: %w", err)
	}
	return list, nil
}

// DeleteService ends the protection of the port: its packets pass unseen from
// then on. A port that is not protected is no error.
func (g *Gate) DeleteService(port uint16) error {
	err := g.objs.Services.Delete(serviceKey{Port: port})
	if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return fmt.Errorf("gate: service %d: %w", port, err)
	}
	return nil
}

// Services returns all protected ports, in no order.
func (g *Gate) Services() ([]gate.Service, error) {
	var list []gate.Service
	var key serviceKey
	var value uint32
	all := g.objs.Services.Iterate()
	for all.Next(&key, &value) {
		list = append(list, gate.Service{
			Port: key.Port, State: gate.ServiceState(value & serviceState), Unmodified: value&serviceUnmodified != 0,
		})
	}
	if err := all.Err(); err != nil {
		return nil, fmt.Errorf("gate: list services: %w", err)
	}
	return list, nil
}
