package backend

import (
	"fmt"

	"github.com/ftnet/ftnet/internal/bytesize"
	"github.com/ftnet/ftnet/internal/certs"
	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/memory"
)

// Options are what a log needs besides its URL. The zero value is usable, but
// for a log server, which needs TLS.
type Options struct {
	// QuotaTotal is how many bytes a log of this host may occupy; a log server has its own. Default: in
	// memory a quarter of it, on a disk 8 GiB, at most half of its file system.
	QuotaTotal int64
	// KeyFile holds the key with which a log on a disk is encrypted, see
	// [ReadKey]; empty: it is not encrypted.
	KeyFile string
	// TLS are the files for a log server, and ServerName the name in its
	// certificate. Default: the URL's host.
	TLS        certs.Files
	ServerName string
	// Services are those that are claimed on a log server at once, so that
	// nobody else goes on to write them. Others are with their first connection.
	Services []string
	// Warn is told, in a few words and pairs of a name and a value, what an
	// operator should know, Info what may be of interest. Default: nobody is.
	Warn, Info func(message string, pairs ...any)
}

// check says which options do not belong to the URL, and which are missing. The
// names are those of the configuration.
func (o *Options) check(u URL) error {
	tls := o.TLS != certs.Files{} || o.ServerName != ""
	switch {
	case u.Kind != Disk && o.KeyFile != "":
		return fmt.Errorf("%s: a key is for file: only", u)
	case u.Kind != Remote && tls:
		return fmt.Errorf("%s: TLS is for ftlog: only", u)
	}
	return nil
}

// Open opens the log that a URL names. A log server need not be reachable: the
// log's status says whether it is.
func Open(text string, o Options) (logserver.Log, error) {
	u, err := Parse(text)
	if err != nil {
		return nil, err
	}
	if err := o.check(u); err != nil {
		return nil, err
	}
	nobody := func(string, ...any) {}
	if o.Warn == nil {
		o.Warn = nobody
	}
	if o.Info == nil {
		o.Info = nobody
	}
	var l logserver.Log
	switch u.Kind {
	case Disk:
		l, err = openDisk(u, o)
	case Remote:
		l, err = openRemote(u, o)
	default:
		l, err = openMemory(o)
	}
	if err != nil {
		return nil, fmt.Errorf("open the log %s: %w", u, err)
	}
	return l, nil
}

func openMemory(o Options) (logserver.Log, error) {
	if o.QuotaTotal == 0 {
		total, err := bytesize.TotalMemory()
		if err != nil {
			return nil, fmt.Errorf("default of the total quota: %w", err)
		}
		o.QuotaTotal = int64(total / 4)
	}
	return memory.New(&memory.Config{QuotaTotal: o.QuotaTotal})
}
