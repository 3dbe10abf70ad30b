//go:build !linux

package memory

// Where the engine does not run the log is still usable: from the Go heap.

func mapPages(n int) (aligned, whole []byte, err error) {
	mem := make([]byte, n)
	return mem, mem, nil
}

func unmapPages([]byte) error { return nil }

func preferHuge([]byte, bool) {}

func returnPages(mem []byte) { clear(mem) }
