package recovery

import (
	"context"
	"errors"
	"slices"

	"github.com/ftnet/ftnet/internal/supervisor"
	"github.com/ftnet/ftnet/rawio"
	"github.com/ftnet/ftnet/recovery/config"
)

// ErrNotRunning is returned by the methods that need Run.
var ErrNotRunning = supervisor.ErrNotRunning

// Restart kills the process and starts it again through recovery, its
// connections open: a planned crash. cfg, if not nil, is the new configuration;
// only name and mode must be the same. If the new process cannot be started the old one
// continues; if it ends before it listens, the previous version is started again.
// Restart returns when the new process runs; see Await for when it serves, and Lost
// for the connections that could not be recovered.
func (s *Service) Restart(cfg *config.Service) error {
	s.op.Lock()
	defer s.op.Unlock()
	sup, err := s.running()
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.process.fellBack, s.process.lost = nil, map[rawio.Flow]string{}
	s.mu.Unlock()
	if cfg == nil {
		return sup.Restart(context.Background(), nil)
	}
	next := *cfg
	scfg, err := s.prepare(&next)
	if err != nil {
		return err
	}
	fresh, err := s.claimListen(next.Addresses())
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.pending = &next
	s.mu.Unlock()
	err = sup.Restart(context.Background(), &scfg)
	s.mu.Lock()
	refused := s.pending == &next // the old process goes on
	if refused {
		s.pending = nil
	}
	s.mu.Unlock()
	if refused {
		s.admitting.Lock()
		err = errors.Join(err, s.giveUp(fresh...))
		s.admitting.Unlock()
	}
	return err
}

// Stop asks the process to stop and returns when it has ended and its
// connections have drained. Run goes on. While the service is stopped its ports
// are not protected. If ctx ends before the process, the stop goes on.
func (s *Service) Stop(ctx context.Context) error {
	s.op.Lock()
	defer s.op.Unlock()
	sup, err := s.running()
	if err != nil {
		return err
	}
	if err := sup.Stop(ctx); err != nil {
		return err
	}
	s.drain(ctx, nil)
	return nil
}

// Start starts a stopped service again and returns when the process runs.
func (s *Service) Start() error {
	s.op.Lock()
	defer s.op.Unlock()
	sup, err := s.running()
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.process.fellBack, s.process.lost = nil, nil
	s.mu.Unlock()
	return sup.Start(context.Background())
}

// Update changes what needs no restart: how the process is stopped and
// restarted, readiness, quota, log policy and comparison. The last three hold
// for new connections. Command, user, environment and the like take effect at
// the next start; name, mode and listen addresses must be the same.
func (s *Service) Update(cfg config.Service) error {
	s.op.Lock()
	defer s.op.Unlock()
	scfg, err := s.prepare(&cfg)
	if err != nil {
		return err
	}
	s.mu.Lock()
	if !slices.Equal(cfg.Listen, s.cfg.Listen) {
		s.mu.Unlock()
		return errors.New("new listen addresses need a restart")
	}
	s.cfg = cfg
	sup := s.sup
	s.notify()
	s.mu.Unlock()
	err = s.protectAgain()
	if sup != nil { // s.admitting is not held: the supervisor may wait for it
		err = errors.Join(err, sup.Update(context.Background(), scfg))
	}
	return err
}

// running returns the supervisor of the present Run.
func (s *Service) running() (*supervisor.Supervisor, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sup == nil {
		return nil, ErrNotRunning
	}
	return s.sup, nil
}

// prepare checks a new configuration and returns the supervisor's part of it.
func (s *Service) prepare(cfg *config.Service) (supervisor.Config, error) {
	if err := s.inherit.check(cfg); err != nil {
		return supervisor.Config{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if cfg.Name != s.name || cfg.Mode != s.cfg.Mode {
		return supervisor.Config{}, errors.New("name and mode of a service cannot change: remove it and add another")
	}
	return s.supervisorConfig(cfg)
}

// policy returns the engine's policies for a port. s.mu is held.
func (s *Service) policy(number uint16) rawio.Service {
	c := &s.cfg
	return rawio.Service{
		Port: number, Name: s.name, Journal: s.journal, Unmodified: c.Mode == config.ModeUnmodified, Compare: c.Compare,
		Quota: c.Quota, OnFull: c.OnFull, LogPolicy: c.Log.Keep, Idle: c.Log.Idle,
		LogDown: c.Log.WhenDown, DownAfter: c.Log.DownAfter, Adopt: s.adopting,
		Ending: s.ending,
	}
}
