package config

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ftnet/ftnet/internal/bytesize"
)

// rlimits are the resource limits of setrlimit(2) that make sense for a
// server.
var rlimits = []struct{ name, unit, doc string }{
	{"as", "bytes", "Address space"},
	{"core", "bytes", "Core file; `0` for none"},
	{"cpu", "seconds", "CPU time of each process"},
	{"data", "bytes", "Data segment"},
	{"fsize", "bytes", "Files that are written"},
	{"memlock", "bytes", "Memory that may be locked"},
	{"msgqueue", "bytes", "POSIX message queues of the user"},
	{"nofile", "", "Open files. A server needs one for each connection"},
	{"nproc", "", "Processes and threads of the user"},
	{"rtprio", "", "Real-time priority"},
	{"sigpending", "", "Signals queued for the user"},
	{"stack", "bytes", "Stack of the main thread"},
}

// LimitNames returns the names that [Limits] may have, which are those of
// setrlimit(2) in small letters and without RLIMIT_.
func LimitNames() []string {
	var names []string
	for _, r := range rlimits {
		names = append(names, r.name)
	}
	return names
}

// limitKeys are the keys of the table of limits, all of one field.
func limitKeys(table string, field []int) []key {
	var keys []key
	for _, r := range rlimits {
		k := key{path: table + "." + r.name, field: field, kind: aLimit, unit: r.unit, effect: restart, doc: r.doc, example: "65536",
			also: []string{"limit-" + r.name, "rlimit-" + r.name, "limit" + r.name, "ulimit-" + r.name}}
		switch r.unit {
		case "bytes":
			k.example = "1GiB"
		case "seconds":
			k.example = "1h"
		}
		keys = append(keys, k)
	}
	return keys
}

// parseLimit reads "SOFT:HARD", or one value for both.
func parseLimit(text, unit string) (Limit, string) {
	soft, hard, two := strings.Cut(text, ":")
	var l Limit
	var problem string
	if l.Soft, problem = parseLimitValue(soft, unit); problem != "" {
		return l, problem
	}
	if l.Hard = l.Soft; two {
		if l.Hard, problem = parseLimitValue(hard, unit); problem != "" {
			return l, problem
		}
	}
	if l.Soft > l.Hard {
		return l, "the soft limit is above the hard one"
	}
	return l, ""
}

func parseLimitValue(text, unit string) (uint64, string) {
	text = strings.TrimSpace(text)
	if slices.Contains([]string{"unlimited", "infinity"}, text) {
		return Unlimited, ""
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err == nil && n <= math.MaxInt64 {
		return n, ""
	}
	switch unit {
	case "bytes":
		size, err := bytesize.Parse(text)
		if err != nil {
			return 0, err.Error()
		}
		return uint64(size), ""
	case "seconds":
		d, err := time.ParseDuration(text)
		if err != nil || d < time.Second || d%time.Second != 0 {
			return 0, strconv.Quote(text) + " is not a whole number of seconds"
		}
		return uint64(d / time.Second), ""
	}
	return 0, strconv.Quote(text) + " is not a whole number from 0 to 2⁶³-1"
}
