package south

import "time"

// What the core takes for repetitions in vain, also if they are slow.
const (
	HoleAfter   = time.Duration(holeAfter)
	HoleAnswers = holeAnswers
	HoleSlow    = time.Duration(holeSlow)
	SlowAnswers = slowAnswers
)

// Rolls is how many roll-forwards the core believes to be under way.
func (m *Machine) Rolls() int { return m.rolling }
