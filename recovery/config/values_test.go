package config_test

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ftnet/ftnet/internal/policy"
	"github.com/ftnet/ftnet/recovery/config"
)

// TestCheck: a service that a program describes is judged as one of a file.
func TestCheck(t *testing.T) {
	for _, tt := range []struct {
		says string
		edit func(*config.Service)
	}{
		{"", func(*config.Service) {}},
		{"", func(s *config.Service) { *s = parse(t, everything).Services[0] }},
		{"", func(s *config.Service) { s.Log.Keep, s.Log.WhenDown = policy.LogOff, policy.DownUnprotect }},
		{"", func(s *config.Service) { s.StopSignal = 0 }},
		{`"name" is missing`, func(s *config.Service) { s.Name = "" }},
		{`"a/b" cannot be a name`, func(s *config.Service) { s.Name = "a/b" }},
		{`"command" is missing`, func(s *config.Service) { s.Command = nil }},
		{`mode wants "listen" or "unmodified", not "x"`, func(s *config.Service) { s.Mode = "x" }},
		{`on-full wants "close-window", "unprotect" or "reset", not "9"`, func(s *config.Service) { s.OnFull = 9 }},
		{`log wants "full" or "off", not "9"`, func(s *config.Service) { s.Log.Keep = 9 }},
		{`compare wants "strict" or "length", not "9"`, func(s *config.Service) { s.Compare = 9 }},
		{`log.when-down wants "hold" or "unprotect", not "9"`, func(s *config.Service) { s.Log.WhenDown = 9 }},
		{`ready.probe wants "listening", "tcp" or "command", not "x"`, func(s *config.Service) { s.Ready.Probe = "x" }},
		{`restart.policy wants "always", "on-crash" or "never", not ""`, func(s *config.Service) { s.Restart.Policy = "" }},
		{`"listen" is missing`, func(s *config.Service) { s.Listen = nil }},
		{`"7000" is not an address`, func(s *config.Service) { s.Listen = []string{"7000"} }},
		{"port 0 would be another one", func(s *config.Service) { s.Listen = []string{":0"} }},
		{`"localhost" is not an IP address`, func(s *config.Service) { s.Listen = []string{"localhost:7000"} }},
		{"has no command to run", func(s *config.Service) { s.Ready.Probe = config.ProbeCommand }},
		{"ready.address: ", func(s *config.Service) { s.Ready.Probe, s.Ready.Address = config.ProbeTCP, "x" }},
		{"has no address to connect to", func(s *config.Service) { s.Mode, s.Listen, s.Ready.Probe = config.ModeListen, nil, config.ProbeTCP }},
		{`compare has no meaning with mode = "listen"`, func(s *config.Service) { s.Mode, s.Compare = config.ModeListen, policy.CompareLength }},
		{`log = "off" needs mode = "unmodified"`, func(s *config.Service) { s.Mode, s.Log.Keep = config.ModeListen, policy.LogOff }},
		{`log.since = "idle" needs mode = "unmodified"`, func(s *config.Service) { s.Mode, s.Log.Keep = config.ModeListen, policy.LogSinceIdle }},
		{"log.down-after: -1ns is out of range", func(s *config.Service) { s.Log.WhenDown, s.Log.DownAfter = policy.DownUnprotect, -1 }},
		{"log.idle: -1ns is out of range", func(s *config.Service) { s.Log.Keep, s.Log.Idle = policy.LogSinceIdle, -1 }},
		{"quota wants a size", func(s *config.Service) { s.Quota = -1 }},
		{"quota: 65535 is out of range (between 64KiB", func(s *config.Service) { s.Quota = 64<<10 - 1 }},
		{"is not a signal that stops a server", func(s *config.Service) { s.StopSignal = syscall.SIGCHLD }},
		{"the soft limit is above the hard one", func(s *config.Service) { s.Limits = config.Limits{"nofile": {Soft: 2, Hard: 1}} }},
	} {
		s := config.NewService("n", config.ModeUnmodified, "x")
		s.Listen = []string{":7000"}
		tt.edit(&s)
		before := s
		err := s.Check()
		if tt.says == "" && err != nil || tt.says != "" && (err == nil || !strings.Contains(err.Error(), tt.says)) {
			t.Errorf("%q: %v", tt.says, err)
		}
		if diff := cmp.Diff(before, s); diff != "" {
			t.Errorf("%q: %s", tt.says, diff)
		}
	}
	s := config.NewService("n", config.ModeListen, "x")
	s.Listen, s.Ready.Probe = []string{":7000"}, config.ProbeTCP
	if err := s.Check(); err != nil || s.Ready.Address != ":7000" {
		t.Errorf("%v, %+v", err, s.Ready)
	}
}

// TestFlagsAreAFile: what flags say is what a file says.
func TestFlagsAreAFile(t *testing.T) {
	flags := config.NewFlags()
	for key, text := range map[string]string{
		"service.quota": "1MiB", "service.log": "idle", "service.log.when-down": "unprotect", "service.mode": "unmodified", "service.listen": ":7",
		"engine.max-connections": "7", "engine.dead-after": "3s", "engine.when-dead": "open", "log.quota-total": "1GiB",
	} {
		if err := flags.Flag(key, key).Set(text); err != nil {
			t.Fatal(err)
		}
	}
	got, err := flags.File("./server", "-v")
	if err != nil {
		t.Fatal(err)
	}
	log, engine := config.Defaults()
	log.QuotaTotal, engine.MaxConnections, engine.DeadAfter, engine.WhenDead = 1<<30, 7, 3*time.Second, config.DeadOpen
	s := config.NewService("server", config.ModeUnmodified, "./server", "-v")
	s.Listen, s.Quota, s.Log.Keep, s.Log.WhenDown = []string{":7"}, 1<<20, policy.LogSinceIdle, policy.DownUnprotect
	if diff := cmp.Diff(&config.File{Log: log, Engine: engine, Services: []config.Service{s}}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
