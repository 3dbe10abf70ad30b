package main

import (
	"fmt"
	"time"

	"github.com/ftnet/ftnet/internal/status"
)

// logLine is where the log is and how it does.
func logLine(l *status.Log, now time.Time) string {
	text := l.Backend
	if l.URL != "" && l.Backend != "memory" {
		text = l.URL
	}
	text += ", " + l.Status
	if l.Reason != "" {
		text += " (" + l.Reason + ")"
	}
	switch l.Backend {
	case "file":
		text += fmt.Sprintf(": %s in %s on disk; quota %s in all", size(l.Bytes), size(l.Memory), quota(l.QuotaTotal))
	case "ftlog":
		text += ": " + size(l.Bytes)
	default:
		text += fmt.Sprintf(": %s in %s of memory; quota %s in all", size(l.Bytes), size(l.Memory), quota(l.QuotaTotal))
	}
	if l.Pending > 0 {
		text += fmt.Sprintf("; %s not stable yet", size(l.Pending))
	}
	text += unless0(l.FullEvents, "; full %d times") + unless0(l.DownEvents, "; %d connections went on without it")
	if l.Certificate != nil && l.Certificate.Sub(now) < renewBefore {
		text += "; " + certificateLine(*l.Certificate, now)
	}
	return text
}

// logOf is what is kept of each connection, and what happens when it is too much,
// or cannot be kept.
func logOf(l status.ProgramLog) string {
	var text string
	switch l.Policy {
	case "off":
		return "off"
	case "idle":
		text = fmt.Sprintf("since idle for %s, %s, %s", seconds(l.Idle), quota(l.Quota), l.OnFull)
	default:
		text = fmt.Sprintf("%s, %s, %s", l.Policy, quota(l.Quota), l.OnFull)
	}
	if l.WhenDown == "unprotect" {
		text += fmt.Sprintf("; down for %s: unprotect", seconds(l.DownAfter))
	}
	return text
}
