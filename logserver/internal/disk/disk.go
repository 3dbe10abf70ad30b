package disk

import (
	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/internal/storelog"
)

// Log is a log on a disk. See the package's comment.
type Log struct {
	*storelog.Log
	files *files
}

var (
	_ logserver.Log    = (*Log)(nil)
	_ logserver.Lender = (*Log)(nil)
)

// Open opens the log in a directory, and makes one if there is none. config may
// be nil. It fails if another process has the log open, if the directory cannot
// be used, or if the log was written with another key or version. Damage does
// not make it fail: what is whole is used, Config.Warn and Counters tell what
// was lost.
func Open(dir string, config *Config) (*Log, error) {
	var cfg Config
	if config != nil {
		cfg = *config
	}
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	above, err := cfg.above(dir).Complete()
	if err != nil {
		return nil, err
	}
	f := newFiles(dir, cfg)
	if err := f.openDir(); err != nil {
		return nil, err
	}
	l, err := storelog.Open(f, above)
	if err != nil {
		return nil, err
	}
	return &Log{l, f}, nil
}

// Counters is what a log has counted since it was opened.
type Counters struct {
	storelog.Counters
	// Abandoned is how many files were given up because something could not be made stable.
	Abandoned int64
}

// Counters returns what the log has counted.
func (l *Log) Counters() Counters { return Counters{l.Log.Counters(), l.files.abandoned.Load()} }
