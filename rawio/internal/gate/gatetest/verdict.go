package gatetest

// Verdict is what becomes of a packet.
type Verdict int

const (
	Pass Verdict = -1 // TC_ACT_UNSPEC: goes on, to other engines' filters first
	Held Verdict = 4  // TC_ACT_STOLEN: consumed; the sender believes that it left
	// Returned is TC_ACT_REDIRECT: the packet comes in again by the interface by which
	// it was to leave, see BindProof.
	Returned Verdict = 7
)

// String returns the verdict's name.
func (v Verdict) String() string {
	switch v {
	case Pass:
		return "pass"
	case Returned:
		return "returned"
	}
	return "held"
}
