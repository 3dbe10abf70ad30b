package daemon

import (
	"os"
	"slices"
	"strings"

	"github.com/ftnet/ftnet/internal/sdnotify"
	"github.com/ftnet/ftnet/internal/supervisor"
	"github.com/ftnet/ftnet/logserver/backend"
	"github.com/ftnet/ftnet/recovery"
	"github.com/ftnet/ftnet/recovery/config"
)

// serviceConfig is what the file says about a service, as package recovery wants
// it.
func serviceConfig(c *config.Service, stdout, stderr *os.File) recovery.ServiceConfig {
	out := recovery.ServiceConfig{
		Name: c.Name, Mode: recovery.Mode(c.Mode), Listen: c.Listen,
		Command: c.Argv(), Env: environment(os.Environ(), c.Env), Dir: c.Dir, User: c.User, Groups: c.Groups,
		Limits: limits(c.Limits), Stdout: stdout, Stderr: stderr,
		Ready: recovery.Readiness{
			Probe: recovery.Probe(c.Ready.Probe), Address: c.Ready.Address, Command: c.Ready.Command,
			Interval: c.Ready.Interval, Timeout: c.Ready.Timeout,
		},
		Restart: recovery.RestartPolicy{
			Policy: supervisor.Policy(c.Restart.Policy), Limit: c.Restart.Limit, Window: c.Restart.Window,
			Backoff: supervisor.Backoff{First: c.Restart.Backoff, Max: c.Restart.BackoffMax},
		},
		StopSignal: c.StopSignal, StopTimeout: c.StopTimeout, Drain: c.Drain,
		Quota: c.Quota, OnFull: recovery.OnFull(c.OnFull), Log: recovery.LogPolicy(c.Log.Keep), Idle: c.Log.Idle,
		LogDown: recovery.LogDown(c.Log.WhenDown), DownAfter: c.Log.DownAfter,
		Compare: recovery.Compare(c.Compare),
	}
	// Where the zero value means the default there, it has another name.
	if c.Restart.Limit == 0 {
		out.Restart.Limit = supervisor.NoRestarts
	}
	if c.Drain == 0 {
		out.Drain = recovery.NoDrain
	}
	return out
}

// logOptions is what the file says about the log.
func logOptions(f *config.File) backend.Options {
	o := backend.Options{KeyFile: f.Log.KeyFile, TLS: f.Log.TLS, ServerName: f.Log.ServerName}
	for i := range f.Services {
		o.Services = append(o.Services, f.Services[i].Name)
	}
	return o
}

func limits(l config.Limits) (list []supervisor.Limit) {
	for _, name := range config.LimitNames() { // in one order
		if v, ok := l[name]; ok {
			list = append(list, supervisor.Limit{Resource: name, Soft: v.Soft, Hard: v.Hard})
		}
	}
	return list
}

// environment is that of a service: that of the daemon, without what is meant
// for the daemon alone, and with what the file adds.
func environment(own []string, more map[string]string) []string {
	env := slices.DeleteFunc(slices.Clone(own), func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		_, replaced := more[name]
		return replaced || slices.Contains(notify.Variables, name)
	})
	for name, value := range more {
		env = append(env, name+"="+value)
	}
	slices.Sort(env)
	return env
}
