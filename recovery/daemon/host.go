package daemon

import (
	"context"
	"net"
	"os"

	"github.com/ftnet/ftnet/recovery/config"
)

// host is the engine with its services: a *recovery.Host, or that of a test.
type host interface {
	// add makes a service, which writes to the two files. It does not start it.
	add(c config.Service, stdout, stderr *os.File) (service, error)
	// outputDir is where the pipes of a service are to be that outlive this process;
	// empty: nowhere.
	outputDir(service string) string
	// listen makes a socket in the engine's directory.
	listen(name string) (*net.UnixListener, error)
	// giveUp has add return that waits for the log.
	giveUp()
	// settled tells that the first services have been added.
	settled()
	// works returns nil if the engine does its work, else why not. It may block
	// if the engine does.
	works() error
	// close ends the engine, when all services have been removed.
	close() error
}

// service is a *recovery.Service, or that of a test. Its methods may be called at
// the same time.
type service interface {
	// run starts the service and returns when it has ended for good: of itself,
	// or after the end of ctx, which asks it to stop. It is called once.
	run(ctx context.Context) error
	// await returns when the service listens and all connections that waited for
	// it are live, how many those were, or why it does not come to that: it has
	// been stopped or has ended, or ctx has.
	await(ctx context.Context) (connections int, err error)
	// restart ends the process and starts it through recovery, with another
	// configuration if c is not nil.
	restart(c *config.Service) error
	// stop returns when the process has ended and its connections have drained;
	// run goes on.
	stop(ctx context.Context) error
	// start starts what was stopped.
	start() error
	// update applies a configuration that needs no restart.
	update(c config.Service) error
	// remove gives ports and files up, after run has returned.
	remove() error
}
