package kernel

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/cilium/ebpf"
)

// witnessPin is a map of interfaces with one entry: the loopback interface of the
// gate's network namespace. The kernel takes an interface out of such maps when it
// goes, and loopback goes with its namespace. So whoever sees the pins can tell that
// the filters are no more, from any other namespace.
const witnessPin = "namespace"

// newWitness makes the map for the calling thread's network namespace.
func newWitness() (*ebpf.Map, error) {
	m, err := ebpf.NewMap(&ebpf.MapSpec{Name: witnessPin, Type: ebpf.DevMap, KeySize: 4, ValueSize: 4, MaxEntries: 1})
	if err != nil {
		return nil, err
	}
	const loopback = 1 // in every namespace
	if err := m.Put(uint32(0), uint32(loopback)); err != nil {
		m.Close()
		return nil, err
	}
	return m, nil
}

// namespaceGone reports whether the network namespace of the pins is no more. Pins
// without a witness were never finished.
func (p *pins) namespaceGone() (bool, error) {
	m, err := ebpf.LoadPinnedMap(p.at(witnessPin), nil)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("gate: pins: %w", err)
	}
	defer m.Close()
	var ifindex uint32
	err = m.Lookup(uint32(0), &ifindex)
	if errors.Is(err, ebpf.ErrKeyNotExist) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("gate: pins: %w", err)
	}
	return false, nil
}
