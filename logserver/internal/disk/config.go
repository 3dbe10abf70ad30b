package disk

import (
	"fmt"

	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/internal/disk/internal/format"
	"github.com/ftnet/ftnet/logserver/internal/disk/internal/vfs"
	"github.com/ftnet/ftnet/logserver/internal/storelog"
)

// Config sets a log's limits. The zero value is usable.
type Config struct {
	// QuotaTotal is the number of bytes that the log's files may occupy. A
	// quarter of it is room that the log needs for itself; Usage counts that.
	// Default 8 GiB, at least 1 MiB.
	QuotaTotal int64
	// LowSpace is the number of occupied bytes from which on the status has
	// the flag LowSpace. Default seven eighths of QuotaTotal.
	LowSpace int64
	// MinFree is the number of bytes in the directory's file system below
	// which the status has the flag LowSpace while QuotaTotal would let the
	// log grow. Default 256 MiB, or as much as it may still grow, if less.
	MinFree int64
	// Buffer is how many bytes may wait in memory until the device has taken
	// them. Default 256 MiB, or QuotaTotal if that is less.
	Buffer int64
	// Segment is the length of a file, in bytes. Default 64 MiB, at most a
	// 32nd of QuotaTotal, at least 64 KiB.
	Segment int64
	// Key, if not nil, is the master key of 32 bytes with which all that is
	// written is encrypted. A log must be opened with the key that it was
	// begun with.
	Key []byte
	// Warn is told what an operator should know, Info what may be of interest,
	// in a few words and pairs of a name and a value, as hclog.Logger.Warn
	// takes them. Default: nobody is.
	Warn, Info func(message string, pairs ...any)

	fs     vfs.FS
	manual bool  // see storelog.Config
	batch  int64 // the same
}

const (
	defaultTotal   = 8 << 30
	defaultSegment = 64 << 20
	defaultMinFree = 256 << 20
	minSegment     = 64 << 10
)

func (c Config) withDefaults() Config {
	set := func(v *int64, to int64) {
		if *v == 0 {
			*v = to
		}
	}
	set(&c.QuotaTotal, defaultTotal)
	set(&c.MinFree, defaultMinFree)
	set(&c.Segment, max(minSegment, min(defaultSegment, c.QuotaTotal/32)))
	c.Segment &^= 4095
	if c.Warn == nil {
		c.Warn = func(string, ...any) {}
	}
	if c.Info == nil {
		c.Info = func(string, ...any) {}
	}
	if c.fs == nil {
		c.fs = vfs.OS{}
	}
	return c
}

// validate checks a Config with defaults.
func (c *Config) validate() error {
	for _, f := range []struct {
		name               string
		value, least, most int64
	}{
		{"MinFree", c.MinFree, 0, 1 << 62},
		{"Segment", c.Segment, minSegment, 1 << 31},
	} {
		if f.value < f.least || f.value > f.most {
			return fmt.Errorf("%w: Config.%s is %d, want %d to %d", logserver.ErrInvalid, f.name, f.value, f.least, f.most)
		}
	}
	if c.Key != nil && len(c.Key) != format.KeySize {
		return fmt.Errorf("%w: Config.Key has %d bytes, want %d", logserver.ErrInvalid, len(c.Key), format.KeySize)
	}
	return nil
}

// above is the part of it that is not about files.
func (c *Config) above(dir string) storelog.Config {
	in := func(tell func(string, ...any)) func(string, ...any) {
		return func(message string, pairs ...any) { tell(message, append([]any{"directory", dir}, pairs...)...) }
	}
	return storelog.Config{
		QuotaTotal: c.QuotaTotal, LowSpace: c.LowSpace, Buffer: c.Buffer, Warn: in(c.Warn), Info: in(c.Info), Batch: c.batch, Manual: c.manual,
	}
}
