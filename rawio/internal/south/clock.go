package south

// maxAwake is the most by which the core's time advances between two ticks, ns. The engine ticks
// more than twice as often, unless it stands still.
const maxAwake = 500e6

// clock is the core's time, in ns: the time during which it was running. It never goes back, and
// between two ticks it advances by maxAwake at most. While the engine stands still, because the
// process or its host was stopped, the core sends and receives nothing: what the log, the clients and
// the kernel have sent is still in queues at the next tick. That time does not count as waiting, so
// no time-out expires by a jump of Kernel.Now.
type clock struct {
	now        int64
	ticked, at int64 // the last tick, by the core's clock and by Kernel.Now
	awake      int64 // by how much that tick has advanced the core's time

	// lost is by how much Kernel.Now is ahead of the core since lostAt, by Kernel.Now; it was
	// lostBefore until then.
	lost, lostBefore, lostAt int64
}

// passed returns the core's time when Kernel.Now says at.
func (k *clock) passed(at int64) int64 { return max(k.now, k.ticked+min(at-k.at, maxAwake)) }

// tick begins the time until the next tick. It returns for how long the core has stood still since the
// last one, ns.
func (k *clock) tick(at int64) (still int64) {
	k.now = k.passed(at)
	k.awake, k.ticked, k.at = k.now-k.ticked, k.now, at
	still = at - k.now - k.lost
	if still != 0 {
		k.lostBefore, k.lost, k.lostAt = k.lost, k.lost+still, at
	}
	return still
}

// of converts the time when the kernel has seen a packet, by Kernel.Now, to the core's time.
func (k *clock) of(at int64) int64 {
	if at >= k.lostAt {
		return min(at-k.lost, k.now)
	}
	return min(at-k.lostBefore, k.lostAt-k.lost)
}

// readClock brings the core's time up to date.
func (m *Machine) readClock() { m.now = m.passed(m.kernel.Now()) }

// Now returns the core's time, ns. The times in Info are on this clock.
func (m *Machine) Now() int64 {
	m.readClock()
	return m.now
}
