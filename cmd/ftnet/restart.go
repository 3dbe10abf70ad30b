package main

import (
	"github.com/spf13/cobra"

	"github.com/ftnet/ftnet/internal/admin"
)

const restartHelp = `Restart a service of the running ftnet serve through recovery, with its connections
open: a crash that was planned. The process is killed by SIGKILL and started again
from what its program file now holds; every connection is rolled forward. Clients
notice a short pause. This is how a new version of a server is deployed.

The command returns when the service listens again and says how long that took. It does not
count against the restart limit. A service that was stopped is started.`

// newRestart makes `ftnet restart`.
func newRestart() *cobra.Command {
	return serviceCommand(admin.Restart, "Restart a service of ftnet serve, its connections open", restartHelp)
}
