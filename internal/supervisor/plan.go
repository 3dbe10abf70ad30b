package supervisor

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// plan is a configuration that was checked, with what it names looked up.
type plan struct {
	cfg     Config // with defaults
	path    string
	account account
	program *os.File // what path names, if that is not for good
}

// prepare checks a configuration. What cannot be started is a *StartError.
func prepare(cfg Config) (*plan, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	p := &plan{cfg: cfg}
	if err := p.lookup(); err != nil {
		return nil, &StartError{Command: cfg.Command[0], Err: err}
	}
	return p, nil
}

func (p *plan) lookup() (err error) {
	name := p.cfg.Command[0]
	if p.cfg.Dir != "" && strings.Contains(name, "/") && !filepath.IsAbs(name) {
		name = filepath.Join(p.cfg.Dir, name) // it is executed there
	}
	if p.path, err = exec.LookPath(name); err != nil {
		return err
	}
	if p.path, err = filepath.Abs(p.path); err != nil {
		return err
	}
	if p.account, err = lookup(p.cfg.User, p.cfg.Groups); err != nil {
		return err
	}
	for _, l := range p.cfg.Limits {
		if err := l.validate(); err != nil {
			return err
		}
	}
	if dir := p.cfg.Dir; dir != "" {
		if st, err := os.Stat(dir); err != nil {
			return err
		} else if !st.IsDir() {
			return &os.PathError{Op: "chdir", Path: dir, Err: syscall.ENOTDIR}
		}
	}
	return nil
}

// budget returns a fresh budget of the plan.
func (p *plan) budget() budget {
	return budget{backoff: p.cfg.Backoff, limit: p.cfg.RestartLimit, window: p.cfg.RestartWindow}
}
