package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/ftnet/ftnet/internal/runtimedir"
	"github.com/ftnet/ftnet/internal/status"
)

// fetchTimeout is for one engine: a document is made at once or never.
const fetchTimeout = 3 * time.Second

func newStatus() *cobra.Command {
	var (
		base   string
		asJSON bool
		limit  int
	)
	cmd := &cobra.Command{
		Use:   "status [ID|NAME]",
		Short: "Show running engines, their services and connections, and log servers",
		Long: `Show every running engine, or the one with that id or name, or one service: its
process, ports and connections, the log, and what tap and gate have counted. The
table of connections says how each one is protected, or why it is not. Lag is what
was received and is not yet on stable storage; "held" marks a connection with an
acknowledgment that waits for it.

Of a log server it shows the engines that are connected, what they have logged, how
full the store is and how it does, and how long bytes take to become stable.`,
		Args: usageArgs(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			want := ""
			if len(args) == 1 {
				want = args[0]
			}
			bases := []string{base}
			if !cmd.Flags().Changed("runtime-dir") && os.Getenv("FTNET_RUNTIME_DIR") == "" {
				// Log servers, and root's engines: their sockets say who may ask.
				for _, more := range []string{runtimedir.Default(runtimedir.LogBase), runtimedir.Base, runtimedir.LogBase} {
					if !slices.Contains(bases, more) {
						bases = append(bases, more)
					}
				}
			}
			docs, err := fetchAll(cmd.Context(), bases, want)
			out := cmd.OutOrStdout()
			switch {
			case asJSON:
				enc := json.NewEncoder(out)
				enc.SetIndent("", "  ")
				err = errors.Join(err, enc.Encode(docs))
			case len(docs) == 0 && err == nil && want != "":
				err = fmt.Errorf("no engine or service %q runs", want)
			case len(docs) == 0 && err == nil:
				fmt.Fprintln(out, "no engine runs")
			default:
				err = errors.Join(err, writeStatus(out, docs, limit))
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON array with one document for each engine or log server")
	cmd.Flags().IntVarP(&limit, "connections", "n", 20, "how many connections of each engine to list; -1 for all")
	runtimeDirFlag(cmd, &base)
	return cmd
}

// fetchAll asks every living engine, and keeps what concerns the engine or the
// service that is wanted. One that does not answer does not keep the others from
// being shown.
func fetchAll(ctx context.Context, bases []string, want string) ([]*status.Document, error) {
	var entries []runtimedir.Entry
	for _, base := range bases {
		list, err := runtimedir.List(base)
		if err != nil {
			return nil, err
		}
		entries = append(entries, list...)
	}
	docs := []*status.Document{} // not null in JSON
	var errs []error
	for _, e := range entries {
		if !e.Alive {
			continue
		}
		doc, err := fetch(ctx, e)
		switch {
		case err == nil && (want == "" || want == doc.Engine.ID || want == doc.Engine.Name || only(doc, want)):
			docs = append(docs, doc)
		case errors.Is(err, fs.ErrPermission):
			errs = append(errs, fmt.Errorf("engine %s (pid %d): only its user and root may see its status: %w", e.ID, e.PID, err))
		case err != nil:
			errs = append(errs, fmt.Errorf("engine %s (pid %d) does not answer: %w", e.ID, e.PID, err))
		}
	}
	return docs, errors.Join(errs...)
}

// only takes all services but one out of a document. It returns false, and takes
// nothing, if there is no such service.
func only(d *status.Document, name string) bool {
	other := func(program string) bool { return program != name }
	if !slices.ContainsFunc(d.Programs, func(p status.Program) bool { return p.Name == name }) {
		return false
	}
	d.Programs = slices.DeleteFunc(d.Programs, func(p status.Program) bool { return other(p.Name) })
	d.Services = slices.DeleteFunc(d.Services, func(s status.Service) bool { return other(s.Program) })
	d.Connections = slices.DeleteFunc(d.Connections, func(c status.Connection) bool { return other(c.Program) })
	return true
}

func fetch(ctx context.Context, e runtimedir.Entry) (*status.Document, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	return status.Fetch(ctx, filepath.Join(e.Path, runtimedir.StatusSocket))
}

// writeStatus renders the documents for people.
func writeStatus(w io.Writer, docs []*status.Document, limit int) error {
	for i, d := range docs {
		if i > 0 {
			fmt.Fprintln(w)
		}
		if err := writeDocument(w, d, limit); err != nil {
			return err
		}
	}
	return nil
}
