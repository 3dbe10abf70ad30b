package logserver

import (
	"math"
	"net/netip"
	"slices"
)

// What the source document asks of a log and follows from the methods of Log, so that it is the
// same for all of them.

// Lookup returns the connections one of whose endpoints is ep, in the order in which they were
// opened (log_query_endpoint). It looks at all connections, and may wait as Active may: it is for
// recovery and diagnosis.
func Lookup(l Log, ep netip.AddrPort) ([]Meta, error) {
	list, err := l.Active(0, math.MaxInt)
	return slices.DeleteFunc(list, func(m Meta) bool { return m.Client != ep && m.Server != ep }), err
}

// Touch sets the connection's Modified time to now: it has shown a sign of life that brought no
// data, such as a keepalive. It may wait as Meta may, and is not to run together with an Update
// of the same connection. An upcall tells that it is stable, as for Update.
func Touch(l Log, id ConnID) error {
	m, err := l.Meta(id)
	if err != nil {
		return err
	}
	return l.Update(m)
}
