package storelog

import (
	"fmt"
	"time"

	"github.com/ftnet/ftnet/logserver"
)

// Config sets a log's limits.
type Config struct {
	// QuotaTotal is the number of bytes that the store may hold. A
	// quarter of it is room that the log needs for itself; Usage counts that.
	// At least 1 MiB.
	QuotaTotal int64
	// LowSpace is the number of occupied bytes from which on the status has
	// the flag LowSpace. Default seven eighths of QuotaTotal.
	LowSpace int64
	// Buffer is how many bytes may wait in memory until the store has taken
	// them. Default 256 MiB, or QuotaTotal if that is less.
	Buffer int64
	// Batch is how many bytes of client data are made stable at once. Default 1 MiB: what
	// larger batches bring in throughput they take in delay, by
	// which a sender measures how much it may have on its way.
	Batch int64
	// Warn is told what an operator should know, Info what may be of interest,
	// in a few words and pairs of a name and a value, as hclog.Logger.Warn
	// takes them. Default: nobody is.
	Warn, Info func(message string, pairs ...any)
	// Manual is for tests: nothing happens but in Step and Clean.
	Manual bool
}

const (
	defaultBuffer = 256 << 20
	minTotal      = 1 << 20
	defaultBatch  = 1 << 20
	// delay is how long what nobody waits for may wait for company.
	delay = 5 * time.Millisecond
)

// Complete returns it with its defaults, or an error that satisfies
// errors.Is(err, logserver.ErrInvalid).
func (c Config) Complete() (Config, error) {
	set := func(v *int64, to int64) {
		if *v == 0 {
			*v = to
		}
	}
	set(&c.LowSpace, c.QuotaTotal-c.QuotaTotal/8)
	set(&c.Buffer, min(defaultBuffer, c.QuotaTotal))
	set(&c.Batch, defaultBatch)
	if c.Warn == nil {
		c.Warn = func(string, ...any) {}
	}
	if c.Info == nil {
		c.Info = func(string, ...any) {}
	}
	for _, f := range []struct {
		name               string
		value, least, most int64
	}{
		{"QuotaTotal", c.QuotaTotal, minTotal, 1 << 50},
		{"LowSpace", c.LowSpace, 0, 1 << 62},
		{"Buffer", c.Buffer, 64 << 10, 1 << 50},
	} {
		if f.value < f.least || f.value > f.most {
			return c, fmt.Errorf("%w: Config.%s is %d, want %d to %d", logserver.ErrInvalid, f.name, f.value, f.least, f.most)
		}
	}
	return c, nil
}
