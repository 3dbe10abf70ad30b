package e2e

import (
	"path/filepath"
	"slices"
	"testing"
)

// mode is a server and how it is protected.
type mode struct {
	name   string
	flags  []string // of `ftnet run`
	server string
	args   []string
}

// counters are examples/counter, and the same built without ftnet.
func counters(t testing.TB) []mode {
	t.Helper()
	args := []string{"-listen", ":7000"}
	return []mode{
		{"listen", nil, binary(t, "counter"), args},
		{"unmodified", unmodifiedOptions(7000).flags, plainCounter(t), args},
	}
}

// probes are the probe, with ftnet and without.
func probes(t testing.TB) []mode {
	t.Helper()
	args := []string{"-listen", ":7002"}
	return []mode{
		{"listen", nil, binary(t, "probe"), args},
		{"unmodified", unmodifiedOptions(7002).flags, binary(t, "probe"), append([]string{"-mode", "plain"}, args...)},
	}
}

// with is the mode with more flags.
func (m mode) with(flags ...string) mode {
	m.flags = slices.Concat(m.flags, flags)
	return m
}

// over is the mode with its log in a backend that outlives the engine.
func (m mode) over(b backend, r *rig) mode { return m.with(b.flags(r, filepath.Base(m.server))...) }

// spawn starts ftnet and the server in a lab. When the test ends they must leave
// nothing behind.
func (m mode) spawn(r *rig) {
	r.t.Helper()
	r.spawn(options{flags: m.flags}, m.server, m.args...)
}

// start starts them again.
func (m mode) start(r *rig) {
	r.t.Helper()
	r.start(options{flags: m.flags}, m.server, m.args...)
}

// eachOver runs f with each mode over each log that outlives the engine, side by side:
// they wait most of the time. The server has been started.
func eachOver(t *testing.T, modes []mode, f func(r *rig, m mode)) {
	t.Helper()
	for _, b := range lasting {
		for _, m := range modes {
			t.Run(b.name+"/"+m.name, func(t *testing.T) {
				t.Parallel()
				r := prepare(t, options{})
				m := m.over(b, r)
				m.spawn(r)
				f(r, m)
			})
		}
	}
}
