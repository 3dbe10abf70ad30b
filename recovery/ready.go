package recovery

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/ftnet/ftnet/internal/supervisor"
	"github.com/ftnet/ftnet/recovery/config"
)

// probePatience is how long a probe may fail before it is said.
const probePatience = 2 * time.Second

// probe asks until the server is ready, again and again: that a server answers, or a command says so,
// is known by asking alone, and nothing below tells when it is worth while. It returns false when
// ctx has ended.
func (s *Service) probe(ctx context.Context) bool {
	began, warned := time.Now(), false
	for {
		s.mu.Lock()
		cfg := s.cfg // Update may change it meanwhile
		s.mu.Unlock()
		err := s.probeOnce(ctx, &cfg)
		if ctx.Err() != nil {
			return false
		}
		if err == nil {
			return true
		}
		if !warned && time.Since(began) > probePatience {
			warned = true
			s.log.Warn("the server is not ready yet", "probe", cfg.Ready.Probe, "error", err)
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(cfg.Ready.Interval):
		}
	}
}

func (s *Service) probeOnce(ctx context.Context, cfg *config.Service) error {
	ctx, cancel := context.WithTimeout(ctx, cfg.Ready.Timeout)
	defer cancel()
	switch cfg.Ready.Probe {
	case config.ProbeTCP:
		a, err := config.ParseAddress(cfg.Ready.Address)
		if err != nil {
			return err
		}
		return s.host.engine.Probe(ctx, dialable(a))
	case config.ProbeCommand:
		return s.probeCommand(ctx, cfg)
	}
	return nil
}

// probeCommand runs the probe's command, as a process of the service would run.
func (s *Service) probeCommand(ctx context.Context, cfg *config.Service) error {
	cred, env, err := supervisor.Account(cfg.User, cfg.Groups)
	if err != nil {
		return err
	}
	out, err := os.CreateTemp("", "ftnet-probe-")
	if err != nil {
		return err
	}
	defer out.Close()
	if err := os.Remove(out.Name()); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, cfg.Ready.Command[0], cfg.Ready.Command[1:]...)
	cmd.Env = append(s.inherit.environment(cfg.Env), env...)
	cmd.Dir = cfg.Dir
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: cred, Setpgid: true}
	// What the command has started must not outlive the attempt.
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	if err := supervisor.Exec(cmd); err != nil {
		return fmt.Errorf("%s: %w%s", strings.Join(cfg.Ready.Command, " "), err, lastWords(out))
	}
	return nil
}

// lastWords is the last line of what a command has printed.
func lastWords(f *os.File) string {
	var b [4096]byte
	st, err := f.Stat()
	if err != nil {
		return ""
	}
	n, _ := f.ReadAt(b[:], max(0, st.Size()-int64(len(b))))
	text := bytes.TrimSpace(b[:n])
	if i := bytes.LastIndexByte(text, '\n'); i >= 0 {
		text = text[i+1:]
	}
	if len(text) == 0 {
		return ""
	}
	return ": " + string(text)
}
