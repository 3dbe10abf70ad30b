package main

import (
	"github.com/spf13/cobra"

	"github.com/ftnet/ftnet/internal/admin"
)

const reloadHelp = `Tell the running ftnet serve to read its configuration file again and to apply what
has changed: services that are no longer in the file are stopped, new ones started.
One whose command, environment, user or the like has changed is restarted through
recovery: its connections stay open. Changes of policies need no restart, and a
service that did not change is not touched.

A file that is not valid changes nothing: all that is wrong with it is printed, and
the exit status is 64. SIGHUP to the daemon does the same, but tells only its log.`

// newReload makes `ftnet reload`.
func newReload() *cobra.Command {
	var d daemonFlags
	cmd := &cobra.Command{
		Use:   "reload",
		Short: "Apply the changed configuration file of ftnet serve",
		Long:  reloadHelp,
		Args:  usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return d.do(cmd, admin.Request{Command: admin.Reload}, nil)
		},
	}
	d.add(cmd)
	return cmd
}
