package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/ftnet/ftnet/internal/status"
)

// writeLogServer renders the document of a log server.
func writeLogServer(w io.Writer, d *status.Document) error {
	l, e := d.LogServer, d.Engine
	fmt.Fprintf(w, "%s (log server %s, pid %d, ftnet %s) up %s\n", e.Name, e.ID, e.PID, e.Version, age(d.Time.Sub(e.Started)))
	line := func(label, format string, args ...any) {
		fmt.Fprintf(w, "  %-10s %s\n", label, fmt.Sprintf(format, args...))
	}
	line("listen", "%s", strings.Join(l.Listen, ", "))
	line("store", "%s", storeLine(l))
	line("upcalls", "%s", latencyLine(l.Upcall))
	line("engines", "%d now, %d since the start, %d refused%s", len(l.Sessions), l.Accepted, l.Refused, unless0(l.Fenced, ", %d fenced"))
	line("logged", "%s now; %s received since the start", count(uint64(l.Connections), "connection"), size(l.BytesIn))
	if !l.Certificate.IsZero() {
		line("expires", "%s", certificateLine(l.Certificate, d.Time))
	}
	line("memory", "%s resident, %s heap", size(d.Memory.Resident), size(d.Memory.Heap))
	if len(l.Sessions) == 0 {
		_, err := fmt.Fprintln(w, "\nno engine is connected")
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "\nENGINE\tCERTIFICATE\tSERVICES\tFOR\tCONNECTIONS\tIN\tNOT STABLE")
	for _, s := range slices.SortedFunc(slices.Values(l.Sessions), func(a, b status.LogSession) int { return a.Since.Compare(b.Since) }) {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%d\t%s\t%s\n", s.Peer, orDash(s.Name), strings.Join(s.Services, ", "), age(d.Time.Sub(s.Since)),
			s.Connections, size(s.BytesIn), size(s.Pending))
	}
	return t.Flush()
}

// storeLine is where the log is kept and how that does.
func storeLine(l *status.LogServer) string {
	s := l.Store
	text := s.Status
	if s.Reason != "" {
		text += " (" + s.Reason + ")"
	}
	if s.QuotaTotal == 0 {
		return fmt.Sprintf("%s, %s: %s", s.URL, text, size(s.Memory))
	}
	return fmt.Sprintf("%s, %s: %s of %s, %d %%", s.URL, text, size(s.Memory), size(s.QuotaTotal), 100*s.Memory/s.QuotaTotal)
}

func latencyLine(l status.Latency) string {
	if l.Samples == 0 {
		return "none yet"
	}
	d := func(s float64) string { return outage(s, 1) }
	return fmt.Sprintf("half within %s, 99 %% within %s", d(l.P50), d(l.P99))
}

// certificateLine is until when a certificate is valid.
func certificateLine(until, now time.Time) string {
	text := "certificate " + until.Local().Format(time.DateOnly)
	switch left := until.Sub(now); {
	case left <= 0:
		return text + ": it has EXPIRED"
	case left < renewBefore:
		return fmt.Sprintf("%s: %s left, renew it", text, days(left))
	}
	return text
}
