package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/ftnet/ftnet/internal/certs"
)

// renewBefore is when a certificate is to be renewed.
const renewBefore = 30 * 24 * time.Hour

func newCertsList() *cobra.Command {
	return &cobra.Command{
		Use:   "list DIR",
		Short: "List the certificates of a directory, for whom they are, and until when",
		Long: `List the certificates of a directory, for whom they are, and until when they are
valid. The exit status is 1 if one has expired or cannot be used.`,
		Args: usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			list, err := certs.List(args[0])
			if err != nil {
				return &failedError{err}
			}
			if len(list) == 0 {
				return &failedError{fmt.Errorf("%s holds no certificates", args[0])}
			}
			bad := false
			t := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(t, "FILE\tKIND\tFOR\tUNTIL\t")
			for _, e := range list {
				bad = bad || e.Trouble != nil
				until := "-"
				if !e.Expires.IsZero() {
					until = e.Expires.Local().Format(time.DateOnly)
				}
				fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", e.Path, e.Kind, orDash(strings.Join(e.Names, ", ")), until, remark(e, time.Now()))
			}
			if err := t.Flush(); err != nil {
				return err
			}
			if bad {
				return errCheckFailed
			}
			return nil
		},
	}
}

// remark says what is to be known about a certificate.
func remark(e certs.Entry, now time.Time) string {
	left := e.Expires.Sub(now)
	switch {
	case e.Trouble != nil:
		return strings.ReplaceAll(e.Trouble.Error(), "\n", ": ")
	case left < renewBefore:
		return fmt.Sprintf("%s left: renew it", days(left))
	}
	return days(left) + " left"
}

func days(d time.Duration) string { return count(uint64(max(d, 0)/(24*time.Hour)), "day") }

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func newCertsRenew() *cobra.Command {
	var n int
	var within time.Duration
	cmd := &cobra.Command{
		Use:   "renew DIR [NAME…]",
		Short: "Renew certificates that expire soon, or those of these names",
		Long: `Renew the certificates of a directory that have expired or will do so within --within,
or those whose names are given (NAME.pem), however long they last. Names, services and
keys stay: what has the key needs the new NAME.pem only. The authority is renewed in
the same way; what it has signed stays valid, and every end needs the new ca.pem before
the old one runs out. Log server and engine read the files again by themselves.`,
		Args: usageArgs(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if n < 0 || n > 36500 {
				return &usageError{errors.New("--days: must be from 1 to 36500")}
			}
			return renew(cmd, args[0], args[1:], within, time.Duration(n)*24*time.Hour)
		},
	}
	cmd.Flags().IntVar(&n, "days", 0, "how long they are valid (default: 365, the authority 3650)")
	cmd.Flags().DurationVar(&within, "within", renewBefore, "without NAME: what expires in this time")
	cmd.Flags().Lookup("days").DefValue = ""
	return cmd
}

func renew(cmd *cobra.Command, dir string, names []string, within, valid time.Duration) error {
	a, err := certs.Open(dir)
	if err != nil {
		return &failedError{err}
	}
	list, err := certs.List(dir)
	if err != nil {
		return &failedError{err}
	}
	for _, name := range names {
		if !slices.ContainsFunc(list, func(e certs.Entry) bool { return e.Name == name }) {
			return &failedError{fmt.Errorf("there is no %s.pem in %s", name, dir)}
		}
	}
	var errs []error
	renewed := 0
	for _, e := range list { // the authority is the first
		if len(names) == 0 && !due(e, within) || len(names) > 0 && !slices.Contains(names, e.Name) {
			continue
		}
		c, err := a.Renew(certs.Options{Name: e.Name, Valid: valid})
		if err != nil {
			errs = append(errs, err)
			continue
		}
		renewed++
		fmt.Fprintf(cmd.OutOrStdout(), "%s: until %s\n", e.Path, c.NotAfter.Local().Format(time.DateOnly))
	}
	switch {
	case len(errs) > 0:
		return &failedError{errors.Join(errs...)}
	case renewed == 0:
		fmt.Fprintf(cmd.OutOrStdout(), "nothing in %s expires within %s\n", dir, days(within))
	}
	return nil
}

// due reports whether a certificate is one of the authority's and expires soon.
func due(e certs.Entry, within time.Duration) bool {
	if e.Trouble != nil && !errors.Is(e.Trouble, certs.ErrExpired) {
		return false
	}
	return time.Until(e.Expires) < within
}
