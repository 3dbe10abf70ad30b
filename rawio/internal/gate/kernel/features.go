package kernel

// Feature is one thing that the gate needs of the kernel.
type Feature struct {
	Name string
	Err  error // nil, or why it is missing: a *gate.UnsupportedFeatureError
	// Untried is why it was not tried, and is believed to be there. The engine needs
	// less than what it takes to try.
	Untried error
}
