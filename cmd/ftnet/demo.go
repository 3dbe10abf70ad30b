package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/ftnet/ftnet/cmd/ftnet/internal/demo"
)

const demoHelp = `Start a small stateful server and several clients, kill the server with SIGKILL
again and again, and show what the clients see. Each reply of the server depends on
every line that came before on that connection; each is checked.

It happens in two network namespaces joined by a veth pair, or, with --loopback or
where that is impossible, on the loopback interface. Nothing stays behind. The exit
status is 1 if a client saw any error.

With --without-ftnet the same server is restarted by the same supervisor, but on a
plain net.Listen: that is what clients see otherwise.`

type demoOptions struct {
	clients      int
	kills        int
	length       time.Duration
	rate         int
	loopback     bool
	withoutFtnet bool
	runtimeDir   string
}

func newDemo() *cobra.Command {
	var o demoOptions
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Watch clients of a server that is killed every second",
		Long:  demoHelp,
		Args:  usageArgs(cobra.NoArgs),
		RunE:  func(cmd *cobra.Command, _ []string) error { return o.run(cmd) },
	}
	f := cmd.Flags()
	f.IntVar(&o.clients, "clients", 6, "clients that stay")
	f.IntVar(&o.kills, "kills", 10, "how often the server is killed")
	f.DurationVar(&o.length, "length", 10*time.Second, "how long it takes")
	f.IntVar(&o.rate, "rate", 250, "lines a second of each client, at most")
	f.BoolVar(&o.loopback, "loopback", false, "use the loopback interface")
	f.BoolVar(&o.withoutFtnet, "without-ftnet", false, "see what happens on a plain net.Listen")
	runtimeDirFlag(cmd, &o.runtimeDir)
	return cmd
}

func (o *demoOptions) run(cmd *cobra.Command) error {
	if o.clients < 1 || o.clients > 99 || o.kills < 0 || o.length <= 0 || o.rate < 1 {
		return &usageError{errors.New("--clients is 1 to 99, --kills 0 or more, --length and --rate above 0")}
	}
	if !o.withoutFtnet && os.Geteuid() != 0 {
		return fmt.Errorf("the engine needs raw sockets and BPF: run this as root (sudo ftnet demo): %w", os.ErrPermission)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	stage, err := o.stage(cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	defer stage.Close()

	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	// The first Ctrl-C ends the show in order, the second at once: the
	// processes die with this one.
	context.AfterFunc(ctx, stop)

	title := "ftnet demo: " + strconv.Itoa(o.kills) + " crashes, no client notices"
	if o.withoutFtnet {
		title = "without ftnet: " + strconv.Itoa(o.kills) + " crashes"
	}
	result, err := demo.Run(ctx, demo.Config{
		Stage:  stage,
		Screen: demo.NewScreen(out, title),
		Server: o.serverCommand(self, stage.Address),
		Client: []string{self, "demo-client", "--address", stage.Address, "--clients", strconv.Itoa(o.clients),
			"--pace", (time.Second / time.Duration(o.rate)).String()},
		Length: o.length, Kills: o.kills,
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "\non %s, in %.1f s:\n\n", stage.Where, result.Took.Seconds())
	for _, line := range result.Table(demo.NewStyle(out)) {
		fmt.Fprintln(out, line)
	}
	if result.Errors > 0 || result.Starts <= result.Kills {
		return errCheckFailed
	}
	return nil
}

// stage prefers namespaces; it says so if there is no way to make them.
func (o *demoOptions) stage(warn io.Writer) (*demo.Stage, error) {
	if !o.loopback {
		stage, err := demo.NetworkStage()
		if err == nil {
			return stage, nil
		}
		fmt.Fprintf(warn, "no private network (%v): using the loopback interface\n", err)
	}
	return demo.LoopbackStage()
}

func (o *demoOptions) serverCommand(self, address string) []string {
	if o.withoutFtnet {
		return []string{self, "demo-supervisor", "--address", address}
	}
	return []string{self, "run", "--name", "demo", "--drain", "1s", "--runtime-dir", o.runtimeDir, "--",
		self, "demo-server", "--address", address}
}
