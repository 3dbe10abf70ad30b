package daemon

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ftnet/ftnet/recovery/config"
)

// ConfigError is returned when the configuration file is not valid.
type ConfigError struct {
	Path        string
	Diagnostics config.Diagnostics // all that is wrong
}

func (e *ConfigError) Error() string {
	return fmt.Sprintf("%s is not valid: %s", e.Path, count(len(e.Diagnostics), "error"))
}

// FailedError is returned by [Serve] if some services had ended before the
// daemon did: they crashed too often, or could not be started.
type FailedError struct{ Services map[string]error }

func (e *FailedError) Error() string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(e.Services)) {
		list = append(list, fmt.Sprintf("%s: %v", name, e.Services[name]))
	}
	return "services ended with errors: " + strings.Join(list, "; ")
}

// Unwrap returns what became of each.
func (e *FailedError) Unwrap() []error { return slices.Collect(maps.Values(e.Services)) }
