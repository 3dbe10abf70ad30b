package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"

	"github.com/spf13/cobra"

	"github.com/ftnet/ftnet/internal/admin"
	"github.com/ftnet/ftnet/internal/runtimedir"
	"github.com/ftnet/ftnet/internal/supervisor"
	"github.com/ftnet/ftnet/recovery"
	"github.com/ftnet/ftnet/recovery/daemon"
)

// Exit codes of ftnet itself, next to sysexits.h and what shells use.
const (
	exitFailed      = 1   // doctor found a failure, the demo an error; it could not be done
	exitUsage       = 64  // EX_USAGE; the configuration file is not valid
	exitEngine      = 70  // EX_SOFTWARE
	exitGaveUp      = 71  // EX_OSERR is near enough: the command cannot be kept up
	exitNoPrivilege = 77  // EX_NOPERM
	exitNotRunnable = 126 // found, but cannot be executed
	exitNotFound    = 127
)

const exitHelp = `

Exit status: that of the command (0, or what it ended with after it was asked to
stop; 128+N for signal N); 64 wrong usage, or a configuration that is not valid;
70 the engine failed; 71 the command, or a service, crashed more often than its
restart limit allows, or may not have its port; 77 a privilege is missing;
126 the command cannot be executed, or not as that user; 127 it was not found.`

type usageError struct{ error }

func (e *usageError) Unwrap() error { return e.error }

// errCheckFailed ends a command with exitFailed after it has printed everything.
var errCheckFailed = errors.New("failed")

// failedError is of a command that works on files only: there is no engine that
// could have failed.
type failedError struct{ error }

func (e *failedError) Unwrap() error { return e.error }

func usageArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			if len(args) > 0 && cmd.HasParent() && !cmd.HasSubCommands() && check(cmd, nil) == nil && check(cmd, args[:1]) != nil {
				err = fmt.Errorf("unexpected argument %q", args[0]) // cobra calls it an unknown command
			}
			return &usageError{err}
		}
		return nil
	}
}

// exitCode maps what a command returned to ftnet's exit status.
func exitCode(err error) int {
	var (
		usage   *usageError
		exit    *supervisor.ExitError
		gaveUp  *supervisor.GaveUpError
		start   *supervisor.StartError
		refused *admin.Error
		invalid *daemon.ConfigError
		failed  *daemon.FailedError
		port    *recovery.PortError
		taken   *recovery.PortTakenError
		lost    *recovery.OwnershipError
	)
	switch {
	case err == nil:
		return 0
	case errors.As(err, &usage):
		return exitUsage
	case errors.Is(err, errCheckFailed):
		return exitFailed
	case errors.As(err, &invalid):
		return exitUsage
	case errors.As(err, &failed): // before what it wraps: the ends of single services
		return exitGaveUp
	case errors.As(err, &refused):
		return refusalCode(refused)
	case errors.As(err, &exit):
		return exit.Exit.Status()
	case errors.As(err, &gaveUp), errors.As(err, &port), errors.As(err, &taken), errors.As(err, &lost), errors.Is(err, runtimedir.ErrPortTaken): // before StartError: it may wrap one
		return exitGaveUp
	case errors.As(err, &start):
		if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
			return exitNotFound
		}
		return exitNotRunnable
	case errors.As(err, new(user.UnknownUserError)), errors.As(err, new(user.UnknownGroupError)):
		return exitNotRunnable
	case errors.Is(err, fs.ErrPermission):
		return exitNoPrivilege
	case errors.As(err, new(*failedError)):
		return exitFailed
	}
	return exitEngine
}

// refusalCode maps what the daemon could not do for a command.
func refusalCode(e *admin.Error) int {
	switch e.Code {
	case admin.CodeRequest, admin.CodeVersion, admin.CodeUnknown, admin.CodeConfig:
		return exitUsage
	case admin.CodeDenied:
		return exitNoPrivilege
	}
	return exitFailed
}

// silent reports whether the error is only the child's own exit, about which
// the child has said what there is to say.
func silent(err error) bool {
	var exit *supervisor.ExitError
	return errors.Is(err, errCheckFailed) || errors.As(err, &exit) && !exit.Exit.Killed
}

func defaultRuntimeDir() string {
	if dir := os.Getenv("FTNET_RUNTIME_DIR"); dir != "" {
		return dir
	}
	return runtimedir.Default(runtimedir.Base)
}
