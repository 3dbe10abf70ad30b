package archtest

// layer is a set of packages, which may import each other, and what else of
// this module they may import. Patterns are paths inside the module; "x/..."
// means x and all below it.
type layer struct {
	packages, may []string
}

// layers holds all packages. A package belongs to the first layer that it
// matches.
var layers = []layer{
	// The bottom: knows nothing of the rest. A server that imports ftnet gets
	// this and nothing else.
	{[]string{"internal/seqnum", "internal/journal", "internal/control", "internal/control/controltest"}, nil},
	{[]string{"internal/bytesize", "internal/caps", "internal/certs", "internal/fwmark", "internal/oom", "internal/oplog", "internal/priority", "internal/procfs", "internal/reason", "internal/runtimedir", "internal/version"}, nil},
	{[]string{"internal/status"}, []string{"internal/control"}},

	// The north side.
	{[]string{"ftnet/..."}, []string{"internal/control", "internal/journal", "internal/seqnum"}},
	{[]string{"examples/..."}, []string{"ftnet"}},

	// The log and the south side.
	{[]string{"logserver/..."}, []string{"internal/certs", "internal/bytesize", "internal/priority"}},
	{[]string{"internal/segment"}, []string{"internal/seqnum"}},
	{[]string{"rawio/..."}, []string{"internal/segment", "logserver", "internal/caps", "internal/fwmark", "internal/priority", "internal/reason", "internal/seqnum", "internal/journal", "internal/control", "internal/status"}},

	{[]string{"recovery/..."}, []string{"rawio/...", "logserver/...", "internal/caps", "internal/certs", "internal/fwmark", "internal/seqnum", "internal/journal", "internal/control", "internal/reason", "internal/status", "internal/procfs", "internal/runtimedir", "internal/bytesize", "internal/oom", "internal/oplog", "internal/version"}},
	{[]string{"cmd/ftnet/internal/logdaemon"}, []string{"logserver/...", "recovery/config", "internal/sdnotify", "internal/certs", "internal/oom", "internal/runtimedir", "internal/status", "internal/version"}},
	{[]string{"cmd/ftnet/internal/doctor"}, []string{"rawio/...", "logserver/backend", "internal/caps", "internal/certs", "internal/fwmark", "internal/runtimedir", "internal/status", "internal/bytesize"}},
	{[]string{"cmd/..."}, []string{"recovery/...", "rawio/...", "logserver/...", "ftnet/...", "internal/..."}},

	// What tests, benchmarks and the demo are made of.
	{[]string{"internal/lab/testenv", "internal/lab/archtest"}, nil},
	{[]string{"internal/lab/workload/cmd/...", "internal/lab/bench/cmd/..."}, []string{"ftnet", "internal/lab/workload", "internal/lab/bench", "internal/lab/bench/logbench", "internal/lab/netlab", "logserver/..."}},
	{[]string{"internal/lab/e2e/cmd/..."}, []string{"ftnet", "recovery", "rawio"}},
	{[]string{"internal/lab/workload"}, nil},
	{[]string{"internal/lab/netlab/..."}, []string{"internal/segment", "internal/lab/testenv"}},
	{[]string{"internal/lab/bench"}, []string{"internal/lab/netlab/...", "internal/lab/workload", "internal/status", "internal/lab/bench/logbench", "logserver/..."}},
	{[]string{"internal/lab/bench/logbench"}, []string{"logserver"}},
	{[]string{"cmd/ftnet/internal/demo"}, []string{"internal/lab/netlab/...", "internal/lab/workload", "internal/bytesize", "internal/status"}},
	{[]string{"internal/lab/e2e"}, []string{"internal/..."}},
}

// owners tells which packages alone may import a library of someone else.
var owners = map[string][]string{
	"github.com/google/gopacket":      {"internal/segment", "internal/lab/netlab/capture"},
	"github.com/mdlayher/socket":      {"rawio", "rawio/internal/tap", "rawio/internal/inject", "internal/sockdiag"},
	"github.com/cilium/ebpf":          {"rawio/gate", "rawio/internal/tap", "recovery/...", "cmd/ftnet/internal/doctor"},
	"github.com/vishvananda/netlink":  {"rawio/...", "internal/lab/netlab/...", "cmd/ftnet/internal/demo", "cmd/ftnet"},
	"github.com/vishvananda/netns":    {"internal/lab/netlab/..."},
	"github.com/spf13/cobra":          {"cmd/ftnet"},
	"github.com/spf13/pflag":          {"cmd/ftnet"},
	"github.com/pelletier/go-toml/v2": {"cmd/ftnet", "recovery/..."},
	"github.com/hashicorp/go-hclog":   {"rawio/...", "recovery/...", "cmd/ftnet/internal/logdaemon", "internal/oplog", "cmd/ftnet", "internal/lab/e2e/cmd/..."},
	"github.com/google/go-cmp":        {"logserver/logtest"},
	"pgregory.net/rapid":              {"logserver/logtest"},
	"golang.org/x/sys":                {"..."},
	"golang.org/x/net":                {"rawio/...", "internal/lab/netlab/..."},
	"golang.org/x/sync":               {"..."},
	"golang.org/x/term":               {"cmd/ftnet/internal/demo", "cmd/ftnet"},
}

// serverDeps are the libraries that a server gets by importing ftnet.
var serverDeps = []string{"golang.org/x/sys"}

// pure tells which packages must not import parts of the standard library: the
// deterministic core has no sockets, files, randomness or wall clock of its
// own.
var pure = map[string][]string{
	"rawio/south":     {"net", "os", "syscall", "math/rand", "math/rand/v2", "crypto/rand", "sync"},
	"internal/seqnum": {"net", "os", "syscall", "time"},
}
