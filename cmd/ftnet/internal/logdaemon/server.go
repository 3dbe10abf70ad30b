package logdaemon

import (
	"fmt"
	"time"

	"github.com/ftnet/ftnet/internal/certs"
	"github.com/ftnet/ftnet/internal/status"
	"github.com/ftnet/ftnet/logserver/logd"
)

// protocol is the server that speaks it.
type protocol struct{ *logd.Server }

var _ server = protocol{}

func openServer(d *daemon) (server, error) {
	tls, err := certs.ServerTLS(d.cfg.TLS)
	if err != nil {
		return nil, fmt.Errorf("TLS: %w", err)
	}
	s, err := logd.NewServer(logd.Config{Store: d.store, TLS: tls, MaxSessions: d.cfg.MaxSessions, Warn: d.log.Warn})
	if err != nil {
		return nil, err
	}
	return protocol{s}, nil
}

func (p protocol) expire(after time.Duration) int { return p.Server.Expire(after) }

func (p protocol) sessions() ([]status.LogSession, counters) {
	peers, counted := p.Peers(), p.Counters()
	list := make([]status.LogSession, 0, len(peers))
	for _, peer := range peers {
		list = append(list, status.LogSession{
			Peer: peer.Addr.String(), Name: peer.Name, Services: peer.Services, Since: peer.Since,
			Connections: peer.Connections, BytesIn: peer.Bytes, Pending: uint64(peer.Unstable),
		})
	}
	return list, counters{accepted: counted.Accepted, refused: counted.Refused, fenced: counted.Fenced}
}
