package backend

import (
	"path/filepath"

	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/disk"
)

// defaultDisk is the default of QuotaTotal on a disk that has twice as much.
const defaultDisk = 8 << 30

func openDisk(u URL, o Options) (logserver.Log, error) {
	cfg := &disk.Config{Quota: o.Quota, QuotaTotal: o.QuotaTotal, Warn: o.Warn, Info: o.Info}
	if cfg.QuotaTotal == 0 {
		cfg.QuotaTotal = defaultDisk
		if total, err := fileSystemSize(filepath.Dir(u.Dir)); err == nil { // the directory may have to be made
			cfg.QuotaTotal = max(min(cfg.QuotaTotal, total/2), 1<<20)
		}
	}
	if o.KeyFile != "" {
		key, err := ReadKey(o.KeyFile)
		if err != nil {
			return nil, err
		}
		cfg.Key = key
	}
	return disk.Open(u.Dir, cfg)
}
