package main

import (
	"github.com/spf13/cobra"

	"github.com/ftnet/ftnet/internal/admin"
)

const startHelp = `Start a service of the running ftnet serve that was stopped, has ended, or was given up
because it crashed too often. The command returns when it listens.`

// newStart makes `ftnet start`.
func newStart() *cobra.Command {
	return serviceCommand(admin.Start, "Start a service of ftnet serve", startHelp)
}
