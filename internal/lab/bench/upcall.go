package bench

import (
	"errors"
	"fmt"
	"time"

	"github.com/ftnet/ftnet/internal/lab/bench/logbench"
	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/backend"
)

// LogAt is a log, as a client process opens it.
type LogAt struct {
	URL           string
	CA, Cert, Key string // files, for a log server
}

// upcallLoad is a client that waits for each reply: a request of 100 bytes at a
// time.
var upcallLoad = logbench.Load{Conns: 1, Size: 100, Window: 100}

// upcallQuota is what a log in the client process may occupy, upcallBytes how much of
// it is written: a log keeps more than the bytes, and a fast one is full in less than
// the time of the measurement.
const upcallQuota, upcallBytes = 1 << 30, 256 << 20

// upcall measures how long a log takes to say that a write is stable.
func upcall(job Job, r *Result) (err error) {
	o := backend.Options{QuotaTotal: upcallQuota}
	if job.Log.CA != "" {
		o = backend.Options{}
		o.TLS.Authority, o.TLS.Cert, o.TLS.Key = job.Log.CA, job.Log.Cert, job.Log.Key
	}
	log, err := backend.Open(job.Log.URL, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	for deadline := time.Now().Add(startTimeout); log.Status()&logserver.Unreachable != 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			return fmt.Errorf("%s: %w", job.Log.URL, logserver.ErrUnreachable)
		}
	}
	f, err := logbench.Measure(log, upcallLoad, upcallBytes, job.For)
	if err != nil {
		return err
	}
	r.P50, r.P99 = micros(f.P50), micros(f.P99)
	return nil
}
