package backend

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ftnet/ftnet/internal/certs"
	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/internal/remote"
)

func openRemote(u URL, o Options) (logserver.Log, error) {
	if o.ServerName == "" {
		o.ServerName = u.Host
	}
	tls, err := certs.ClientTLS(o.TLS, o.ServerName)
	if err != nil {
		return nil, err
	}
	if err := covers(o.TLS.Cert, o.Services); err != nil {
		return nil, err
	}
	return remote.Dial(remote.Config{Address: u.Address(), TLS: tls, Services: o.Services, Warn: o.Warn})
}

// covers looks whether the certificate names the services: the log server would
// refuse an engine that asks for others, again and again.
func covers(file string, services []string) error {
	c, err := certs.ReadCert(file)
	if err != nil {
		return err
	}
	has := certs.Services(c)
	if len(has) == 0 {
		has = []string{c.Subject.CommonName} // the log server takes it for one
	}
	lacking := slices.DeleteFunc(slices.Clone(services), func(s string) bool {
		return slices.Contains(has, s) || slices.Contains(has, certs.AnyService)
	})
	if len(lacking) > 0 {
		return fmt.Errorf("%s is for %s, not for %s: ftnet certs client makes one for all of them", file, strings.Join(has, ", "), strings.Join(lacking, ", "))
	}
	return nil
}
