package backend

import (
	"path/filepath"

	"github.com/ftnet/ftnet/internal/bytesize"
	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/internal/disk"
)

// defaultDisk is the default of QuotaTotal on a disk that has twice as much.
const defaultDisk = 8 << 30

// mostBuffer is how many bytes may wait in memory for a disk, on a machine that has
// eight times as much.
const mostBuffer = 256 << 20

func openDisk(u URL, o Options) (logserver.Log, error) {
	cfg := &disk.Config{QuotaTotal: o.QuotaTotal, Warn: o.Warn, Info: o.Info}
	if cfg.QuotaTotal == 0 {
		cfg.QuotaTotal = defaultDisk
		if total, err := fileSystemSize(filepath.Dir(u.Dir)); err == nil { // the directory may have to be made
			cfg.QuotaTotal = max(min(cfg.QuotaTotal, total/2), 1<<20)
		}
	}
	// What the device has not taken yet waits in memory.
	if total, err := bytesize.TotalMemory(); err == nil {
		cfg.Buffer = max(min(mostBuffer, cfg.QuotaTotal, int64(total/8)), 64<<10)
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
