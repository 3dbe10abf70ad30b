package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ftnet/ftnet/internal/demo"
	"github.com/ftnet/ftnet/internal/doctor"
)

func newDoctor() *cobra.Command {
	var (
		asJSON, clean bool
		base          string
	)
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check what the engine needs of this machine",
		Long: `Check kernel features, capabilities and settings one by one, and say what to do
about each failure. The exit status is 1 if a check failed ("FAIL"): ftnet run would
not work. A warning has a drawback that is named.

With --clean, first remove what killed engines have left behind in this network
namespace. The next engine would do that too.`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			out := cmd.OutOrStdout()
			removed := []string{} // not null in JSON
			if clean {
				lines, err := doctor.Clean(base)
				if err != nil {
					return fmt.Errorf("clean: %w", err)
				}
				removed = append(removed, lines...)
			}
			results := doctor.Run(doctor.Local(base))
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
	cmd.Flags().BoolVar(&clean, "clean", false, "remove filters and directories of engines that no longer run")
	runtimeDirFlag(cmd, &base)
	return cmd
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
