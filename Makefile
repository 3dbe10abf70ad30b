# All targets work from a clean clone with Go 1.26 on Linux. Tests on the real
# kernel, the demo and the benchmark need root.

.PHONY: build test race lint bench soak demo generate

build:
	go build -o bin/ ./cmd/ftnet

# What needs root fails, rather than being skipped, with
# FTNET_KERNEL_TESTS=require. Packages that share the kernel's network state
# with others run one at a time (-p 1). The longest one takes about ten minutes, and
# twice as long beside other work; a test that hangs is to be known all the same.
# TESTFLAGS=-v shows each test.
test:
	go test -p 1 -count 1 -timeout 25m $(TESTFLAGS) ./...

# The race detector, on what several goroutines share, and on ftnet itself while its
# servers and engines are killed: there a race ends the process, and so the test fails.
race:
	go test -race -p 1 -count 1 -timeout 25m $(TESTFLAGS) ./ftnet ./internal/control ./internal/journal ./logserver \
		./logserver/logd ./logserver/internal/remote ./rawio ./rawio/internal/tap ./recovery ./recovery/daemon
	GOFLAGS=-race GORACE=halt_on_error=1 go test -count 1 -timeout 25m $(TESTFLAGS) ./internal/lab/e2e \
		-run '^Test(UnmodifiedCounterSurvivesKills|EngineKilledAlone)$$/^(memory|disk)$$/^(loopback|listen)$$'

lint:
	go vet ./...
	go tool staticcheck ./...
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); \
	if [ -n "$$unformatted" ]; then echo "gofmt would change:"; echo "$$unformatted"; exit 1; fi

# The simulation on a million seeds of each kind, the first one chosen by the clock: an
# hour or two. The result is committed.
SEEDS = 1000000
soak:
	go test ./rawio/internal/south -run '^Test(Simulation|EngineCrashes|EngineAlone|Queue|Jumps|BlindTap|EventsLost|Prompt)$$' -count 1 -timeout 0 -v \
		-sim.first=0 -sim.seeds=$(SEEDS) > rawio/internal/south/soak.log; status=$$?; \
		cut -c -300 rawio/internal/south/soak.log > rawio/internal/south/soak.txt; rm rawio/internal/south/soak.log; cat rawio/internal/south/soak.txt; exit $$status

bench:
	go run ./internal/lab/bench/cmd/bench

demo:
	go run ./cmd/ftnet demo

# Needs clang, llvm-strip and libbpf's headers (Debian: clang llvm libbpf-dev).
# The results are committed; building needs none of it.
generate:
	go generate ./...
