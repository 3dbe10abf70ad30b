package kernel

// Leftovers are the IDs of engines that do not live and have left something in the kernel
// that no engine will take over.
type Leftovers struct {
	// Attached: on interfaces, as filters or by tcx.
	Attached []string
	// Pins, and with them the program that watches releases: their filters are gone, from the calling thread's network namespace or with
	// theirs. Those in other namespaces that exist are for the next engine there.
	Pins []string
}
