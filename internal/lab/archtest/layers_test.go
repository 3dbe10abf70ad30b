package archtest

// room is a package: the packages of this module that it imports, and the libraries of
// others, tests apart. Both are lists of words.
type room struct {
	path, imports, libraries string
}

// house is the whole module from the ground up, floor by floor: a package imports only what
// stands before it here, and exactly what is said here.
var house = []struct {
	floor string
	rooms []room
}{
	{"The ground: each does one thing and knows nothing of ftnet's parts.", []room{
		{"internal/bytesize", "", "golang.org/x/sys"},
		{"internal/caps", "", "golang.org/x/sys"},
		{"internal/certs", "", ""},
		{"internal/ownership", "", ""},
		{"internal/ownership/ownershiptest", "internal/ownership", ""},
		{"internal/policy", "", ""},
		{"internal/control", "internal/policy", "golang.org/x/sys"},
		{"internal/journal", "internal/policy", "golang.org/x/sys"},
		{"internal/control/controltest", "internal/control internal/journal", ""},
		{"internal/fwmark", "", ""},
		{"internal/oom", "", ""},
		{"internal/oplog", "", "github.com/hashicorp/go-hclog"},
		{"internal/priority", "", "golang.org/x/sys"},
		{"internal/procfs", "", "golang.org/x/sys"},
		{"internal/reason", "", ""},
		{"internal/runtimedir", "internal/ownership", "golang.org/x/sys"},
		{"internal/admin", "internal/control internal/runtimedir", "golang.org/x/sys"},
		{"internal/sdnotify", "", "golang.org/x/sys"},
		{"internal/segment", "", "github.com/google/gopacket"},
		{"internal/seqnum", "", ""},
		{"internal/sockdiag", "internal/segment", "github.com/mdlayher/socket golang.org/x/sys"},
		{"internal/status", "internal/control internal/policy", ""},
		{"internal/supervisor", "internal/oom internal/procfs", "github.com/hashicorp/go-hclog golang.org/x/sys"},
		{"internal/supervisor/output", "", "golang.org/x/sys"},
		{"internal/version", "", ""},
	}},
	{"The log: a client's bytes, stable.", []room{
		{"logserver", "", ""},
		{"logserver/internal/record", "logserver", ""},
		{"logserver/internal/table", "logserver", ""},
		{"logserver/memory", "logserver logserver/internal/table", ""},
		{"logserver/internal/store", "", ""},
		{"logserver/internal/store/storetest", "logserver/internal/store", ""},
		{"logserver/internal/storelog", "internal/priority logserver logserver/internal/record logserver/internal/store logserver/internal/table", ""},
		{"logserver/internal/disk/internal/format", "logserver/internal/record logserver/internal/store", ""},
		{"logserver/internal/disk/internal/vfs", "", "golang.org/x/sys"},
		{"logserver/internal/disk", "logserver logserver/internal/disk/internal/format logserver/internal/disk/internal/vfs logserver/internal/store" +
			" logserver/internal/storelog", ""},
		{"logserver/internal/wire", "logserver logserver/internal/record", "golang.org/x/sys"},
		{"logserver/internal/remote", "internal/priority logserver logserver/internal/table logserver/internal/wire", "golang.org/x/sys"},
		{"logserver/backend", "internal/bytesize internal/certs logserver logserver/internal/disk logserver/internal/remote logserver/memory",
			"golang.org/x/sys"},
		{"logserver/internal/disk/internal/faultfs", "logserver/internal/disk/internal/vfs", ""},
		{"logserver/logd", "internal/certs logserver logserver/internal/table logserver/internal/wire", ""},
		{"logserver/logtest", "logserver", "github.com/google/go-cmp pgregory.net/rapid"},
	}},
	{"The south side: packets.", []room{
		{"rawio/internal/gate", "internal/segment", ""},
		{"rawio/internal/gate/bpf", "", "github.com/cilium/ebpf"},
		{"rawio/internal/gate/gatetest", "internal/segment internal/seqnum rawio/internal/gate", ""},
		{"rawio/internal/gate/kernel", "internal/caps internal/segment rawio/internal/gate rawio/internal/gate/bpf",
			"github.com/cilium/ebpf github.com/vishvananda/netlink golang.org/x/sys"},
		{"rawio/internal/conntrack", "internal/segment", "golang.org/x/sys"},
		{"rawio/internal/inject", "", "github.com/mdlayher/socket golang.org/x/sys"},
		{"rawio/internal/tap", "internal/segment", "github.com/cilium/ebpf golang.org/x/sys"},
		{"rawio/internal/south", "internal/policy internal/reason internal/segment internal/seqnum logserver rawio/internal/gate", ""},
		{"rawio", "internal/fwmark internal/journal internal/policy internal/priority internal/reason internal/segment internal/seqnum internal/sockdiag" +
			" logserver rawio/internal/conntrack rawio/internal/gate rawio/internal/gate/kernel rawio/internal/inject rawio/internal/south rawio/internal/tap",
			"github.com/hashicorp/go-hclog github.com/mdlayher/socket github.com/vishvananda/netlink golang.org/x/sys"},
		{"rawio/internal/rawiotest", "internal/segment internal/seqnum", ""},
	}},
	{"The north side: the listener and its connections.", []room{
		{"ftnet", "internal/control internal/journal internal/policy", "golang.org/x/sys"},
		{"examples/counter", "ftnet", ""},
		{"examples/echo", "ftnet", ""},
		{"examples/http", "ftnet", ""},
	}},
	{"Recovery: services, processes, the file.", []room{
		{"recovery/config", "internal/bytesize internal/certs internal/fwmark internal/policy internal/supervisor logserver/backend",
			"github.com/pelletier/go-toml/v2 golang.org/x/sys"},
		{"recovery/internal/predecessor", "internal/runtimedir internal/supervisor rawio", "github.com/hashicorp/go-hclog"},
		{"recovery", "internal/caps internal/certs internal/control internal/journal internal/oom internal/ownership internal/policy internal/procfs" +
			" internal/runtimedir internal/sockdiag internal/status internal/supervisor internal/version logserver logserver/backend rawio recovery/config" +
			" recovery/internal/predecessor", "github.com/hashicorp/go-hclog golang.org/x/sys"},
		{"recovery/daemon", "internal/admin internal/oplog internal/sdnotify internal/supervisor internal/supervisor/output recovery recovery/config",
			"github.com/hashicorp/go-hclog golang.org/x/sys"},
	}},
	{"The command.", []room{
		{"cmd/ftnet/internal/demo", "internal/bytesize", "github.com/vishvananda/netlink golang.org/x/sys golang.org/x/term"},
		{"cmd/ftnet/internal/doctor", "internal/bytesize internal/caps internal/certs internal/fwmark internal/runtimedir internal/sockdiag" +
			" internal/status logserver/backend rawio recovery", "golang.org/x/sys"},
		{"cmd/ftnet/internal/logdaemon", "internal/certs internal/oom internal/runtimedir internal/sdnotify internal/status internal/version logserver" +
			" logserver/backend logserver/logd recovery/config", "github.com/hashicorp/go-hclog"},
		{"cmd/ftnet", "cmd/ftnet/internal/demo cmd/ftnet/internal/doctor cmd/ftnet/internal/logdaemon ftnet internal/admin internal/bytesize internal/certs" +
			" internal/fwmark internal/oplog internal/runtimedir internal/status internal/supervisor internal/version logserver/backend rawio recovery" +
			" recovery/config recovery/daemon", "github.com/hashicorp/go-hclog github.com/spf13/cobra github.com/spf13/pflag"},
	}},
	{"The lab: only tests and the commands that measure import it.", []room{
		{"internal/lab/archtest", "", ""},
		{"internal/lab/bench/logbench", "logserver", "golang.org/x/sys"},
		{"internal/lab/netlab", "", "github.com/vishvananda/netlink github.com/vishvananda/netns golang.org/x/sys"},
		{"internal/lab/workload", "", ""},
		{"internal/lab/bench", "internal/lab/bench/logbench internal/lab/netlab internal/lab/workload internal/status logserver" +
			" logserver/backend", "golang.org/x/sys"},
		{"internal/lab/bench/cmd/bench", "internal/lab/bench", ""},
		{"internal/lab/bench/cmd/benchserver", "ftnet internal/lab/bench", ""},
		{"internal/lab/bench/cmd/logbench", "internal/lab/bench/logbench logserver logserver/backend", ""},
		{"internal/lab/bench/cmd/plainserver", "internal/lab/bench", ""},
		{"internal/lab/e2e", "", ""},
		{"internal/lab/e2e/cmd/probe", "ftnet", "golang.org/x/sys"},
		{"internal/lab/e2e/cmd/tracedrun", "rawio recovery recovery/config", "github.com/hashicorp/go-hclog"},
		{"internal/lab/netlab/capture", "internal/lab/netlab internal/segment", "github.com/google/gopacket golang.org/x/sys"},
		{"internal/lab/testenv", "", "golang.org/x/sys"},
		{"internal/lab/netlab/netlabtest", "internal/lab/netlab internal/lab/testenv", ""},
		{"internal/lab/workload/cmd/bulk", "ftnet internal/lab/workload", ""},
	}},
}

// public are the packages that programs outside of this module may import, as a list of words:
// what is no API is internal, a command or an example.
const public = "ftnet logserver logserver/backend logserver/logd logserver/logtest logserver/memory rawio recovery recovery/config recovery/daemon"

// serverDeps are the libraries that a server gets by importing ftnet.
var serverDeps = []string{"golang.org/x/sys"}

// coreDeps are the libraries that the deterministic core, rawio/internal/south, needs.
var coreDeps = []string{"github.com/google/gopacket"}

// pure tells which packages must not import parts of the standard library: the
// deterministic core has no sockets, files, randomness or wall clock of its
// own.
var pure = map[string][]string{
	"rawio/internal/gate":  {"net", "os", "syscall", "sync"},
	"rawio/internal/south": {"net", "os", "syscall", "math/rand", "math/rand/v2", "crypto/rand", "sync"},
	"internal/seqnum":      {"net", "os", "syscall", "time"},
}
