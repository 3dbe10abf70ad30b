package gate

// Verdict is what becomes of a packet.
type Verdict int

const (
	Pass Verdict = -1 // TC_ACT_UNSPEC: goes on, to other engines' filters first
	Held Verdict = 4  // TC_ACT_STOLEN: consumed; the sender believes that it left
)

// String returns the verdict's name.
func (v Verdict) String() string {
	if v == Pass {
		return "pass"
	}
	return "held"
}
