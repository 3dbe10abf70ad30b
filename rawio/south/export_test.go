package south

import "time"

// What the core takes for repetitions in vain, if they are slow.
const (
	HoleSlow    = time.Duration(holeSlow)
	SlowAnswers = slowAnswers
)
