package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/ftnet/ftnet/cmd/ftnet/internal/demo"
	"github.com/ftnet/ftnet/cmd/ftnet/internal/doctor"
	"github.com/ftnet/ftnet/internal/fwmark"
	"github.com/ftnet/ftnet/logserver/backend"
	"github.com/ftnet/ftnet/recovery"
	"github.com/ftnet/ftnet/recovery/config"
	"github.com/ftnet/ftnet/recovery/daemon"
)

func newDoctor() *cobra.Command {
	var (
		asJSON, clean bool
		base, file    string
		bpffs         string
		log           = config.NewFlags()
		listen        []string
		mark          fwmark.Mark
	)
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check what the engine needs of this machine",
		Long: `Check kernel features, capabilities and settings one by one, and say what to do
about each failure. The exit status is 1 if a check failed ("FAIL"): ftnet run would
not work. A warning has a drawback that is named.

The log that the engine would use is checked too: that of --log, or of the file
--config. Of a directory: can it be written and synced, what is free. Of a log server:
does it answer, are both certificates right, and until when.

If all of that is well, a handshake is tried as in a recovery, by each interface, at the
addresses of --listen, or of the services of --config, where a server listens: whether the
host's rule sets let connections be recovered. The server does not notice. Of ports that
an engine protects its own word counts.

With --clean, first remove what killed engines have left behind in this network
namespace, and end the server processes that have outlived them: the next engine would
go on with those.`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			out := cmd.OutOrStdout()
			logResults, err := checkLog(cmd, log, file)
			if err != nil {
				return err
			}
			removed := []string{} // not null in JSON
			if clean {
				lines, err := recovery.RemoveLeftovers(base, bpffs)
				if err != nil {
					return fmt.Errorf("clean: %w", err)
				}
				removed = append(removed, lines...)
			}
			results := append(doctor.Run(doctor.Local(base, bpffs)), logResults...)
			if !doctor.Failed(results) {
				tried, err := tryHandshakes(cmd, base, file, listen, mark)
				if err != nil {
					return err
				}
				results = append(results, tried...)
			}
			failed := doctor.Failed(results)
			if asJSON {
				enc := json.NewEncoder(out)
				enc.SetIndent("", "  ")
				if err := enc.Encode(diagnosis{OK: !failed, Removed: removed, Checks: results}); err != nil {
					return err
				}
			} else {
				for _, what := range removed {
					fmt.Fprintf(out, "removed %s\n", what)
				}
				writeDiagnosis(out, results, demo.NewStyle(out).Color)
			}
			if failed {
				return errCheckFailed
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	cmd.Flags().BoolVar(&clean, "clean", false, "remove filters, pins, directories and server processes of engines that no longer run")
	cmd.Flags().StringVarP(&file, "config", "c", "", "check the log of this configuration `FILE` of ftnet serve")
	cmd.Flags().StringArrayVar(&listen, "listen", nil, "try a handshake at this `ADDRESS` of a server, for instance :7000; may be repeated")
	cmd.Flags().Var(&mark, "mark", "the `VALUE/MASK` that ftnet run would be given")
	define(cmd.Flags(), log, logFlags)
	runtimeDirFlag(cmd, &base)
	bpffsFlag(cmd, &bpffs)
	return cmd
}

// tryHandshakes tries them where servers listen, and asks the engines that run.
func tryHandshakes(cmd *cobra.Command, base, file string, listen []string, mark fwmark.Mark) ([]doctor.Result, error) {
	if file != "" {
		f, err := daemon.Load(file)
		if err != nil {
			return nil, err
		}
		for i := range f.Services {
			listen = append(listen, f.Services[i].Listen...)
		}
		if f.Engine.Mark != (fwmark.Mark{}) {
			mark = f.Engine.Mark
		}
	}
	var at []netip.AddrPort
	for _, a := range listen {
		w, err := config.ParseAddress(a)
		if err != nil {
			return nil, &usageError{fmt.Errorf("--listen: %w", err)}
		}
		if !slices.Contains(at, w) {
			at = append(at, w)
		}
	}
	ctx := cmd.Context()
	if ctx == nil {
		ctx = context.Background()
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	engines, err := fetchAll(ctx, []string{base}, "")
	if err != nil {
		cmd.PrintErrln(err) // an engine that can't be asked protects its ports
	}
	results := doctor.Handshakes(ctx, engines, at, mark)
	if ctx.Err() != nil {
		return nil, &failedError{errors.New("ended by a signal")}
	}
	return results, nil
}

// checkLog checks the log of the flags or of a file.
func checkLog(cmd *cobra.Command, flags *config.Flags, file string) ([]doctor.Result, error) {
	if file != "" && cmd.Flags().Changed("log") {
		return nil, &usageError{errors.New("--log or --config, not both")}
	}
	var f *config.File
	var err error
	if file != "" {
		f, err = daemon.Load(file)
	} else {
		f, err = flags.File()
	}
	var invalid *daemon.ConfigError
	if errors.As(err, &invalid) {
		for _, d := range invalid.Diagnostics {
			cmd.PrintErrln(d)
		}
	}
	if err != nil {
		return nil, wrongFlags(err)
	}
	u, err := backend.Parse(f.Log.URL)
	if err != nil {
		return nil, err
	}
	return doctor.Log(u, f.Log.Options(nil), f.Names()), nil
}

// diagnosis is the JSON form.
type diagnosis struct {
	OK      bool            `json:"ok"`
	Removed []string        `json:"removed"`
	Checks  []doctor.Result `json:"checks"`
}

func writeDiagnosis(w io.Writer, results []doctor.Result, color bool) {
	width := 0
	for _, r := range results {
		width = max(width, len(r.Name))
	}
	counts := make(map[doctor.Level]int)
	for _, r := range results {
		counts[r.Level]++
		detail := strings.ReplaceAll(r.Detail, "\n", " ")
		fmt.Fprintf(w, "%s  %-*s  %s\n", mark(r.Level, color), width, r.Name, detail)
		if r.Level != doctor.OK && r.Advice != "" {
			fmt.Fprintf(w, "      %*s  -> %s\n", width, "", r.Advice)
		}
	}
	fmt.Fprintf(w, "\n%d ok, %d warnings, %d failed\n", counts[doctor.OK], counts[doctor.Warn], counts[doctor.Fail])
}

// mark is a level in four columns.
func mark(l doctor.Level, color bool) string {
	text, code := " ok ", "32"
	switch l {
	case doctor.Warn:
		text, code = "warn", "33"
	case doctor.Fail:
		text, code = "FAIL", "31"
	}
	if color {
		return "\x1b[" + code + "m" + text + "\x1b[0m"
	}
	return text
}
