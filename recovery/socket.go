package recovery

import (
	"context"
	"path/filepath"

	"github.com/ftnet/ftnet/internal/control"
	"github.com/ftnet/ftnet/recovery/internal/predecessor"
)

// serveNorth opens the socket to which the service's processes connect.
func (s *Service) serveNorth() error {
	name := s.socketName
	if name == "" {
		name = s.host.socketName(s.name)
	}
	ln, err := s.host.Listen(name)
	if err != nil {
		return err
	}
	s.socket, s.socketName = filepath.Join(s.host.Dir(), name), name
	s.note()
	ctx, cancel := context.WithCancel(context.Background())
	server := &control.Server{Handler: north{s}, Allow: s.allow}
	done := make(chan error, 1)
	go func() {
		err := server.Serve(ctx, ln)
		if err != nil {
			s.log.Error("server processes can no longer connect", "error", err)
		}
		done <- err
	}()
	s.stop = func() error {
		cancel()
		<-done // its error was logged
		return nil
	}
	return nil
}

// note completes what is kept of the process for the next engine.
func (s *Service) note() {
	if s.recorder != nil {
		s.recorder.Note = predecessor.Note{Service: s.name, Socket: s.socketName}
	}
}

// allow admits root and whom the service runs as.
func (s *Service) allow(c control.Credentials) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return control.AllowUID(uint32(s.uid))(c)
}
