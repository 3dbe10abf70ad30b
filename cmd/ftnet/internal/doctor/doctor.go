// Package doctor checks one by one what the engine needs of the machine, and
// says what to do about each failure. It changes nothing that stays.
package doctor

import (
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
)

// Level is how bad a finding is.
type Level string

const (
	OK   Level = "ok"
	Warn Level = "warn" // works, with the drawback that Advice names
	Fail Level = "fail" // `ftnet run` will not work
)

// Result is the finding of one check.
type Result struct {
	Name   string `json:"name"`
	Level  Level  `json:"level"`
	Detail string `json:"detail"`           // what was found
	Advice string `json:"advice,omitempty"` // what to do, unless all is well
}

// Machine is what the checks look at.
type Machine struct {
	Root       fs.FS  // with proc/…; normally os.DirFS("/")
	RuntimeDir string // of engines; empty for the default
	BPFFS      string // that engines pin their gates in
}

// Local is this machine.
func Local(runtimeDir, bpffs string) Machine {
	return Machine{Root: os.DirFS("/"), RuntimeDir: runtimeDir, BPFFS: bpffs}
}

// check is one of them; several findings that belong together are one check.
type check func(Machine) []Result

// Run makes all checks, in the order in which a person would want to fix them.
func Run(m Machine) []Result {
	var results []Result
	for _, c := range []check{
		kernelVersion, capabilities, bpfFeatures, pinning, bpfJIT, sockets, sockDestroy,
		timestamps, fastOpen, queues, reversePath, connectionTracking,
		openFiles, runtimeDirectory, leftovers,
	} {
		results = append(results, c(m)...)
	}
	return results
}

// Failed reports whether any result is a failure.
func Failed(results []Result) bool {
	for _, r := range results {
		if r.Level == Fail {
			return true
		}
	}
	return false
}

func ok(name, format string, args ...any) []Result {
	return []Result{{Name: name, Level: OK, Detail: fmt.Sprintf(format, args...)}}
}

func finding(level Level, name, detail, advice string) []Result {
	return []Result{{Name: name, Level: level, Detail: detail, Advice: advice}}
}

// sysctl reads a number below /proc/sys; ok is false if there is none.
func (m Machine) sysctl(name string) (n int, ok bool) {
	text, err := fs.ReadFile(m.Root, "proc/sys/"+strings.ReplaceAll(name, ".", "/"))
	if err != nil {
		return 0, false
	}
	n, err = strconv.Atoi(strings.TrimSpace(string(text)))
	return n, err == nil
}
