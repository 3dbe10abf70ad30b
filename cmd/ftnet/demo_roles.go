package main

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/ftnet/ftnet/cmd/ftnet/internal/demo"
	"github.com/ftnet/ftnet/internal/supervisor"
	"github.com/ftnet/ftnet/recovery/config"
)

// demoRoles are the processes of the demo, which starts itself in each of them.
func demoRoles() []*cobra.Command {
	return []*cobra.Command{newDemoServer(), newDemoClient(), newDemoSupervisor()}
}

func newDemoServer() *cobra.Command {
	var (
		address string
		plain   bool
	)
	cmd := &cobra.Command{
		Use: "demo-server", Hidden: true, Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			listen := demoListen
			if plain {
				listen = net.Listen
			}
			l, err := listen("tcp", address)
			if err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			context.AfterFunc(ctx, func() { l.Close() })
			if err := demo.Announce(cmd.OutOrStdout(), os.Getpid()); err != nil {
				return err
			}
			if err := demo.Serve(l); !errors.Is(err, net.ErrClosed) {
				return err
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&address, "address", "", "where to listen")
	cmd.Flags().BoolVar(&plain, "plain", false, "without an engine")
	return cmd
}

func newDemoClient() *cobra.Command {
	var cfg demo.ClientConfig
	cmd := &cobra.Command{
		Use: "demo-client", Hidden: true, Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithCancel(cmd.Context())
			go func() {
				defer cancel()
				_, _ = io.Copy(io.Discard, os.Stdin) // its end is the word to stop
			}()
			return demo.RunClients(ctx, cfg, cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringVar(&cfg.Address, "address", "", "of the server")
	cmd.Flags().IntVar(&cfg.Clients, "clients", 1, "how many")
	cmd.Flags().DurationVar(&cfg.Pace, "pace", 4*time.Millisecond, "between a reply and the next line")
	cmd.Flags().DurationVar(&cfg.Visitors, "visitors", 100*time.Millisecond, "between new connections")
	return cmd
}

// newDemoSupervisor keeps the plain server running for --without-ftnet.
func newDemoSupervisor() *cobra.Command {
	var address string
	cmd := &cobra.Command{
		Use: "demo-supervisor", Hidden: true, Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			self, err := os.Executable()
			if err != nil {
				return err
			}
			c := config.NewService("demo", config.ModeListen, self, "demo-server", "--plain", "--address", address) // restarted as with ftnet
			s, err := supervisor.New(supervisor.Config{
				Command: c.Command, StopTimeout: c.StopTimeout, RestartLimit: c.Restart.Limit, RestartWindow: c.Restart.Window,
				Backoff: supervisor.Backoff{First: c.Restart.Backoff, Max: c.Restart.BackoffMax},
			}, nil)
			if err != nil {
				return err
			}
			return s.Run(cmd.Context())
		},
	}
	cmd.Flags().StringVar(&address, "address", "", "where to listen")
	return cmd
}
