package main

import (
	"testing"
	"time"

	"github.com/ftnet/ftnet/internal/status"
)

func TestLogLine(t *testing.T) {
	now := time.Date(2026, 5, 4, 12, 0, 0, 0, time.Local)
	soon, late := now.Add(72*time.Hour), now.Add(72*24*time.Hour)
	for _, tt := range []struct {
		log  status.Log
		want string
	}{
		{status.Log{Backend: "memory", URL: "memory:", Status: "ok", Bytes: 1 << 20, Memory: 2 << 20, QuotaTotal: 1 << 30},
			"memory, ok: 1MiB in 2MiB of memory; quota 1GiB in all"},
		{status.Log{Backend: "file", URL: "file:///var/lib/ftnet", Status: "low-space", Bytes: 1 << 20, Memory: 2 << 20, QuotaTotal: 1 << 30, Pending: 2048, FullEvents: 3},
			"file:///var/lib/ftnet, low-space: 1MiB in 2MiB on disk; quota 1GiB in all; 2KiB not stable yet; full 3 times"},
		{status.Log{Backend: "ftlog", URL: "ftlog://log:7070", Status: "unreachable", Reason: "connection refused", Bytes: 1 << 20, Pending: 2048},
			"ftlog://log:7070, unreachable (connection refused): 1MiB; 2KiB not stable yet"},
		{status.Log{Backend: "ftlog", URL: "ftlog://log:7070", Status: "ok", Certificate: &late, DownEvents: 2},
			"ftlog://log:7070, ok: 0B; 2 connections went on without it"},
		{status.Log{Backend: "ftlog", URL: "ftlog://log:7070", Status: "ok", Certificate: &soon},
			"ftlog://log:7070, ok: 0B; certificate 2026-05-07: 3 days left, renew it"},
	} {
		if got := logLine(&tt.log, now); got != tt.want {
			t.Errorf("%q, want %q", got, tt.want)
		}
	}
}

func TestLogOf(t *testing.T) {
	for want, l := range map[string]status.ProgramLog{
		"off":                           {Policy: "off"},
		"full, 64MiB, close-window":     {Policy: "full", Quota: 64 << 20, OnFull: "close-window", WhenDown: "hold"},
		"since idle for 1s, 1KiB, rest": {Policy: "idle", Idle: 1, Quota: 1024, OnFull: "rest"},
		"full, unlimited, reset; down for 10s: unprotect": {Policy: "full", OnFull: "reset", WhenDown: "unprotect", DownAfter: 10},
	} {
		if got := logOf(l); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
