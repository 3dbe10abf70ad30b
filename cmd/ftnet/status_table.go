package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"sort"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/ftnet/ftnet/internal/bytesize"
	"github.com/ftnet/ftnet/internal/status"
)

func writeDocument(w io.Writer, d *status.Document, limit int) error {
	if d.LogServer != nil {
		return writeLogServer(w, d)
	}
	writeSummary(w, d)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, write := range []func(){
		func() { writePrograms(t, d) },
		func() { writePorts(t, d.Services) },
		func() { writeUnprotected(t, d.Services) },
		func() { writeUnanswered(t, d) },
		func() { writeConnections(t, d.Connections, limit) },
	} {
		write()
		if err := t.Flush(); err != nil {
			return err
		}
	}
	return nil
}

func writeSummary(w io.Writer, d *status.Document) {
	e := d.Engine
	name := e.Name
	if name != "" {
		name += " "
	}
	fmt.Fprintf(w, "%s(engine %s, pid %d, ftnet %s) up %s\n", name, e.ID, e.PID, e.Version, age(d.Time.Sub(e.Started)))
	line := func(label, format string, args ...any) {
		fmt.Fprintf(w, "  %-10s %s\n", label, fmt.Sprintf(format, args...))
	}
	if len(e.Interfaces) > 0 {
		line("interfaces", "%s", strings.Join(e.Interfaces, ", "))
	}
	line("log", "%s", logLine(&d.Log, d.Time))
	line("tap", "%s, %s, %d lost%s%s", count(d.Tap.Packets, "packet"), size(d.Tap.Bytes), d.Tap.Losses,
		unless0(d.Tap.Truncated, ", %d truncated"), unless0(d.Tap.Invalid, ", %d invalid"))
	g := d.Gate
	line("gate", "held: %s (%d released), %s, %s%s%s", count(g.HeldACKs, "ACK"), g.Released, count(g.HeldFINs, "FIN"),
		count(g.HeldRSTs, "RST"), unless0(g.LostEvents, "; %d events lost"), reasons(g.Reasons))
	for _, what := range slices.Sorted(maps.Keys(g.Missing)) {
		line("missing", "%s of the gate: %s", what, g.Missing[what])
	}
	for _, what := range slices.Sorted(maps.Keys(g.Mended)) {
		line("put back", "%s of the gate, %s", what, count(g.Mended[what], "time"))
	}
	if e.LostLines > 0 {
		line("messages", "%s lost", count(e.LostLines, "line"))
	}
	line("memory", "%s resident, %s heap, %s journal", size(d.Memory.Resident), size(d.Memory.Heap), size(d.Memory.Journal))
}

// writePrograms lists the services with their processes, in the document's order.
func writePrograms(w io.Writer, d *status.Document) {
	if len(d.Programs) == 0 {
		fmt.Fprintln(w, "\nno services")
		return
	}
	fmt.Fprintln(w, "\nSERVICE\tMODE\tSTATE\tPID\tFOR\tRESTARTS\tLOG\tCOMMAND")
	for _, p := range d.Programs {
		pid := "-"
		if p.Process.PID != 0 {
			pid = fmt.Sprint(p.Process.PID)
		}
		state := string(p.Process.State)
		if p.Process.State == status.ProcessRunning && !p.Ready {
			state += ", not ready"
		}
		restarts := fmt.Sprint(p.Process.Restarts)
		if p.Process.LastExit != "" {
			restarts += " (last: " + p.Process.LastExit + ")"
		}
		restarts += unless0(p.WorkerCrashes, ", %d of workers")
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", p.Name, p.Mode, state, pid,
			age(d.Time.Sub(p.Process.Since)), restarts, logOf(p.Log), strings.Join(p.Command, " "))
	}
}

func writePorts(w io.Writer, ports []status.Service) {
	if len(ports) == 0 {
		fmt.Fprintln(w, "\nno service listens yet")
		return
	}
	fmt.Fprintln(w, "\nADDRESS\tSERVICE\tSTATE\tCOMPARE\tOPEN\tACCEPTED\tRECOVERED\tMISMATCHES\tOUTAGES\tLAST\tLONGEST")
	for _, s := range byAddress(ports) {
		state := string(s.State)
		if s.State == status.ServiceStarting {
			state = "not listening yet"
		}
		fmt.Fprintf(w, "%s %s\t%s\t%s\t%s\t%d\t%d\t%d\t%d\t%d\t%s\t%s\n", s.Network, s.Address, s.Program, state, s.Compare,
			s.Connections, s.Accepted, s.Recovered, s.Mismatches, s.Outages, outage(s.LastOutage, s.Outages), outage(s.LongestOutage, s.Outages))
	}
}

func byAddress(ports []status.Service) []status.Service {
	ports = slices.Clone(ports)
	sort.Slice(ports, func(i, j int) bool { return ports[i].Address < ports[j].Address })
	return ports
}

// writeUnprotected lists how many connections of each port were not protected, and
// why, the most frequent reason first. Where all are, it writes nothing.
func writeUnprotected(w io.Writer, ports []status.Service) {
	head := "\nADDRESS\tSERVICE\tUNPROTECTED\tREASON\n"
	for _, s := range byAddress(ports) {
		why := slices.Sorted(maps.Keys(s.Unprotected))
		slices.SortStableFunc(why, func(a, b string) int { return cmp.Compare(s.Unprotected[b], s.Unprotected[a]) })
		for _, r := range why {
			fmt.Fprintf(w, "%s%s %s\t%s\t%d\t%s\n", head, s.Network, s.Address, s.Program, s.Unprotected[r], r)
			head = ""
		}
	}
}

// writeUnanswered lists where handshakes that ftnet has tried are not answered, and why. Where
// all are, it writes nothing.
func writeUnanswered(w io.Writer, d *status.Document) {
	head := "\nADDRESS\tSERVICE\tINTERFACE\tNO HANDSHAKE FOR\tREASON\n"
	for _, s := range byAddress(d.Services) {
		for _, h := range s.Handshakes {
			if !h.Answered {
				fmt.Fprintf(w, "%s%s %s\t%s\t%s, %s\t%s\t%s\n", head, s.Network, s.Address, s.Program, h.Interface, h.Network,
					age(d.Time.Sub(h.Since)), h.Reason)
				head = ""
			}
		}
	}
}

// writeConnections lists those first that need attention: unprotected, then
// held, then by lag, then the oldest.
func writeConnections(w io.Writer, all []status.Connection, limit int) {
	if len(all) == 0 {
		fmt.Fprintln(w, "\nno connections")
		return
	}
	conns := slices.Clone(all)
	rank := func(c status.Connection) int {
		switch {
		case c.Protection == status.Unprotected:
			return 0
		case c.HeldACK:
			return 1
		}
		return 2
	}
	sort.SliceStable(conns, func(i, j int) bool {
		a, b := conns[i], conns[j]
		if ra, rb := rank(a), rank(b); ra != rb {
			return ra < rb
		}
		if a.StableLag != b.StableLag {
			return a.StableLag > b.StableLag
		}
		return a.ID < b.ID
	})
	if limit >= 0 && len(conns) > limit {
		conns = conns[:limit]
	}
	if len(conns) > 0 {
		fmt.Fprintln(w, "\nCLIENT\tSERVER\tSTATE\tPROTECTION\tAGE\tIDLE\tIN\tOUT\tLOGGED\tLAG\tHELD\tRECOVERED")
	}
	for _, c := range conns {
		protection := string(c.Protection)
		if c.Protection == status.Protected && c.How != "" {
			protection = c.How
		}
		if c.Reason != "" && c.Protection != status.Over {
			protection += ": " + c.Reason
		}
		held := ""
		if c.HeldACK {
			held = "held"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\n", c.Client, c.Server, c.State, protection,
			seconds(c.Age), seconds(c.Idle), size(c.BytesIn), size(c.BytesOut), size(c.BytesLogged), size(c.StableLag), held, c.Recoveries)
	}
	if n := len(all) - len(conns); n > 0 {
		fmt.Fprintf(w, "and %d more (-n -1 lists all)\n", n)
	}
}

func size(n uint64) string { return bytesize.Size(n).String() }

func quota(n uint64) string {
	if n == 0 {
		return "unlimited"
	}
	return size(n)
}

func count(n uint64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func unless0(n uint64, format string) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(format, n)
}

func reasons(m map[string]uint64) string {
	var names []string
	for name, n := range m {
		if n > 0 {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	sort.Strings(names)
	for i, name := range names {
		names[i] = fmt.Sprintf("%s %d", name, m[name])
	}
	return "; " + strings.Join(names, ", ")
}

func outage(s float64, n uint64) string {
	if n == 0 {
		return "-"
	}
	return (time.Duration(s*1e6) * time.Microsecond).Round(10 * time.Microsecond).String()
}

func seconds(s float64) string { return age(time.Duration(s * float64(time.Second))) }

// age is a duration in the two largest units that matter.
func age(d time.Duration) string {
	switch {
	case d < 0:
		return "0s"
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd%02dh", int(d.Hours())/24, int(d.Hours())%24)
}
