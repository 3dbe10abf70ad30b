package south

// maxAwake is the most that the time between two ticks counts for, ns. The engine ticks
// twice as often, unless it stands still.
const maxAwake = 500e6

// clock is the core's time, in ns: that in which it was awake. It never goes back, and
// between two ticks it goes on by maxAwake at most. While the engine stands still, because it was
// stopped, or its host was, the core hears and asks nothing: what the log, the clients and
// the kernel have said is still in queues when it ticks next. Whoever waits for an answer has not
// waited then, so no patience ends by a jump of Kernel.Now.
type clock struct {
	now        int64
	ticked, at int64 // the last tick, by the core's clock and by Kernel.Now
	awake      int64 // what that tick has counted for

	// lost is by how much Kernel.Now is ahead of the core since lostAt, by Kernel.Now; it was
	// lostBefore until then.
	lost, lostBefore, lostAt int64
}

// passedSYNACK returns the core's time when Kernel.Now says at.
func (k *clock) passed(at int64) int64 { return max(k.now, k.ticked+min(at-k.at, maxAwake)) }

// tick begins the time until the next tick. It returns for how long the core has stood still, ns.
func (k *clock) tick(at int64) (still int64) {
	k.now = k.passed(at)
	k.awake, k.ticked, k.at = k.now-k.ticked, k.now, at
	still = at - k.now - k.lost
	if still != 0 {
		k.lostBefore, k.lost, k.lostAt = k.lost, k.lost+still, at
	}
	return still
}

// of returns the core's time when the kernel has met a packet, by Kernel.Now.
func (k *clock) of(at int64) int64 {
	if at >= k.lostAt {
		return min(at-k.lost, k.now)
	}
	return min(at-k.lostBefore, k.lostAt-k.lost)
}

// read brings the core's time up to date.
func (m *Machine) read() { m.now = m.passed(m.kernel.Now()) }

// Now returns the core's time, ns, which that of Info is measured by.
func (m *Machine) Now() int64 {
	m.read()
	return m.now
}
