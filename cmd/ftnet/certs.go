package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ftnet/ftnet/internal/certs"
)

const certsHelp = `A small certificate authority for log servers and the engines that log to them, for
those who have none. On the machine of the authority, say in a directory tls:

  ftnet certs init tls
  ftnet certs server tls log.example 192.0.2.7    # the names that engines dial
  ftnet certs client tls --service web --service cache
  ftnet certs list tls

The log server needs ca.pem, server.pem and server.key; an engine ca.pem, client.pem
and client.key. Nobody but the authority needs ca.key. An engine sees and logs only
the services that its certificate names; --service '*' is all.

Keys are ECDSA P-256, readable by their owner only. What exists is not overwritten
without --force. There is no revocation: when a key is lost, begin with a new
authority, or let the certificate run out.`

// newCerts makes `ftnet certs`.
func newCerts() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "certs",
		Short: "Make the certificates of log servers and engines",
		Long:  certsHelp,
		Args:  usageArgs(cobra.NoArgs),
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newCertsInit(), newCertsServer(), newCertsClient(), newCertsList(), newCertsRenew())
	return cmd
}

// certsFlags are shared by the commands that make certificates.
type certsFlags struct {
	name  string
	days  int
	force bool
}

func (o *certsFlags) add(cmd *cobra.Command, name string, valid time.Duration) {
	f := cmd.Flags()
	o.days = int(valid / (24 * time.Hour))
	f.IntVar(&o.days, "days", o.days, "how long it is valid")
	f.BoolVar(&o.force, "force", false, "replace files that exist, with new keys")
	if name != "" {
		f.StringVar(&o.name, "as", name, "`NAME` of the files: NAME.pem and NAME.key")
	}
}

func (o *certsFlags) options() (certs.Options, error) {
	if o.days <= 0 || o.days > 36500 {
		return certs.Options{}, &usageError{errors.New("--days: must be from 1 to 36500")}
	}
	return certs.Options{Name: o.name, Valid: time.Duration(o.days) * 24 * time.Hour, Force: o.force}, nil
}

func newCertsInit() *cobra.Command {
	var o certsFlags
	cmd := &cobra.Command{
		Use:   "init DIR",
		Short: "Make a new authority: ca.pem and ca.key",
		Args:  usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			options, err := o.options()
			if err != nil {
				return err
			}
			a, err := certs.Init(args[0], options)
			if err != nil {
				return notMade(err, "")
			}
			made(cmd, args[0], "ca", a.Certificate, "authority")
			return nil
		},
	}
	o.add(cmd, "", certs.DefaultAuthorityValid)
	return cmd
}

func newCertsServer() *cobra.Command {
	var o certsFlags
	cmd := &cobra.Command{
		Use:     "server DIR NAME…",
		Short:   "Make the certificate of a log server with these DNS names and IP addresses",
		Example: "  ftnet certs server tls log.example 192.0.2.7",
		Args:    usageArgs(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.issue(cmd, args[0], func(a *certs.Authority, options certs.Options) (*x509.Certificate, error) {
				return a.Server(args[1:], options)
			}, "server for "+strings.Join(args[1:], ", "))
		},
	}
	o.add(cmd, "server", certs.DefaultValid)
	return cmd
}

func newCertsClient() *cobra.Command {
	var (
		o        certsFlags
		services []string
	)
	cmd := &cobra.Command{
		Use:     "client DIR --service NAME…",
		Short:   "Make the certificate of an engine that logs these services",
		Example: "  ftnet certs client tls --service web --service cache",
		Args:    usageArgs(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			all := append(services, args[1:]...) // --service web cache is what a hand types
			return o.issue(cmd, args[0], func(a *certs.Authority, options certs.Options) (*x509.Certificate, error) {
				return a.Client(all, options)
			}, "client for "+strings.Join(all, ", "))
		},
	}
	o.add(cmd, "client", certs.DefaultValid)
	cmd.Flags().StringArrayVar(&services, "service", nil, "a service's `NAME`; may be repeated; '*' for all")
	return cmd
}

func (o *certsFlags) issue(cmd *cobra.Command, dir string, issue func(*certs.Authority, certs.Options) (*x509.Certificate, error), what string) error {
	options, err := o.options()
	if err != nil {
		return err
	}
	a, err := certs.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return &failedError{fmt.Errorf("%w\nftnet certs init %s makes one", err, dir)}
	} else if err != nil {
		return &failedError{err}
	}
	c, err := issue(a, options)
	if err != nil {
		return notMade(err, ", --as NAME makes others beside it")
	}
	made(cmd, dir, o.name, c, what)
	return nil
}

// notMade says what could have been done.
func notMade(err error, or string) error {
	if errors.Is(err, fs.ErrExist) {
		err = fmt.Errorf("%w; --force replaces it%s", err, or)
	}
	return &failedError{err}
}

func made(cmd *cobra.Command, dir, name string, c *x509.Certificate, what string) {
	fmt.Fprintf(cmd.OutOrStdout(), "%s and %s: %s, until %s\n",
		filepath.Join(dir, name+".pem"), filepath.Join(dir, name+".key"), what, c.NotAfter.Local().Format(time.DateOnly))
}
