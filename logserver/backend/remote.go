package backend

import (
	"github.com/ftnet/ftnet/internal/certs"
	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/remote"
)

func openRemote(u URL, o Options) (logserver.Log, error) {
	if o.ServerName == "" {
		o.ServerName = u.Host
	}
	tls, err := certs.ClientTLS(o.TLS, o.ServerName)
	if err != nil {
		return nil, err
	}
	return remote.Dial(remote.Config{Address: u.Address(), TLS: tls, Services: o.Services, Warn: o.Warn})
}
