// Package kernel has the gate in the running kernel: [Load] loads the programs of
// rawio/internal/gate/bpf and makes their maps, [Gate] attaches them to interfaces, binds
// connections to slots and reads what the programs report. What all of that means stands in
// rawio/internal/gate.
//
// A gate outlives the process that loaded it. Its pins in a BPF file system
// ([Config].BPFFS) lead the next engine to it, which takes it over ([Adopt]). What nobody
// takes over [RemoveStale] removes.
//
// Linux 5.12 or newer is needed (BPF atomics, ring buffer, mmapable arrays);
// [Features] says what is missing. WatchReleases needs Linux 5.14, type
// information (BTF) and cgroup2; see [ReleaseFeatures]. Elsewhere everything returns
// gate.ErrNotSupported.
package kernel
