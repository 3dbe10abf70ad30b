package recovery

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/internal/runtimedir"
	"github.com/ftnet/ftnet/internal/supervisor"
	"github.com/ftnet/ftnet/recovery/config"
	"github.com/ftnet/ftnet/recovery/internal/predecessor"
)

// pagesPerConn is the journal's address space for read lengths and output
// digests, in KiB for each connection slot. It is sparse: only what is used
// takes memory.
const pagesPerConn = 64

// Add makes a service, which Service.Run starts. Its ports are claimed and, for
// config.ModeListen, its journal and socket made. A wrong description is
// config.Diagnostics; what cannot be started is a *supervisor.StartError; a port of another
// engine runtimedir.ErrPortTaken.
func (h *Host) Add(cfg config.Service, in Inherit) (*Service, error) {
	if cfg.Mode == config.ModeUnmodified && !h.cfg.Unmodified {
		return nil, fmt.Errorf("service %q: the engine was opened without room for unmodified servers", cfg.Name)
	}
	if err := in.check(&cfg); err != nil {
		return nil, err
	}
	s := newService(h, cfg, in)
	if err := h.insert(s); err != nil {
		return nil, err
	}
	if err := s.open(); err != nil {
		return nil, errors.Join(fmt.Errorf("service %q: %w", cfg.Name, err), s.Remove())
	}
	return s, nil
}

// insert takes the name.
func (h *Host) insert(s *Service) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, other := range h.services {
		if other.Name() == s.Name() {
			return fmt.Errorf("there is a service %q already", s.Name())
		}
	}
	h.services = append(h.services, s)
	return nil
}

// open makes what a service needs beside its process.
func (s *Service) open() (err error) {
	if s.uid, err = supervisor.UID(s.cfg.User); err != nil {
		return err
	}
	if _, err := s.claimListen(s.listen); err != nil {
		return err
	}
	if s.host.before.Lasts {
		s.recorder = &supervisor.StateFile{Path: predecessor.StatePath(s.host.Dir(), s.name)}
	}
	lives, err := s.find()
	if err != nil {
		return err
	}
	if s.cfg.Mode == config.ModeUnmodified {
		s.note()
	} else if !lives { // else the process brings it
		if err := s.makeJournal(); err != nil {
			return err
		}
	}
	if err := s.takeOver(); err != nil {
		return err
	}
	if s.cfg.Mode == config.ModeUnmodified {
		s.settleAdoption()
		return nil
	}
	return s.serveNorth()
}

// socketName is that of a service's socket: it tells the service, where a path
// may be as long.
func (h *Host) socketName(service string) string {
	const room = len(unix.RawSockaddrUnix{}.Path) - 1
	h.mu.Lock()
	h.north++
	name := runtimedir.NorthName(fmt.Sprint(h.north))
	h.mu.Unlock()
	if own := runtimedir.NorthName(service); len(filepath.Join(h.Dir(), own)) <= room {
		return own
	}
	return name
}

// Remove gives up what Add has made. Run must have returned.
func (s *Service) Remove() error {
	h := s.host
	h.mu.Lock()
	i := slices.Index(h.services, s)
	if i < 0 {
		h.mu.Unlock()
		return nil
	}
	h.services = slices.Delete(h.services, i, i+1)
	h.mu.Unlock()
	return s.close()
}
