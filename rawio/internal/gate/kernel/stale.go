package kernel

// Stale are the IDs of engines that do not live and have left something in the kernel
// that no engine will take over.
type Stale struct {
	// Attached: on interfaces, as filters or by tcx.
	Attached []string
	// Pins whose filters are gone, from the calling thread's network namespace or with their own; with
	// them goes the program that watches releases. Pins with filters in other existing namespaces are for
	// the next engine there.
	Pins []string
}
