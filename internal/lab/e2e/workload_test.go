package e2e

import (
	"context"

	"github.com/ftnet/ftnet/internal/lab/workload"
)

// under runs f while the clients work, and checks that none saw an error.
func (r *rig) under(clients workload.Counter, f func()) *workload.Report {
	r.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan *workload.Report, 1)
	go func() { done <- clients.Run(ctx) }()
	f()
	cancel()
	report := <-done
	if err := report.Err(); err != nil {
		r.t.Error(err)
	}
	if report.Lines == 0 {
		r.t.Error("the clients did nothing")
	}
	return report
}
