package main

import (
	"github.com/spf13/cobra"

	"github.com/ftnet/ftnet/internal/admin"
)

const stopHelp = `Stop a service of the running ftnet serve: its process gets the stop signal and its
connections end as it ends them. It stays stopped, through reloads too, until
ftnet start or ftnet restart, or until the daemon starts again.`

// newStop makes `ftnet stop`.
func newStop() *cobra.Command {
	return serviceCommand(admin.Stop, "Stop a service of ftnet serve", stopHelp)
}
