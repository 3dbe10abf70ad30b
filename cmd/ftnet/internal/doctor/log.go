package doctor

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ftnet/ftnet/internal/bytesize"
	"github.com/ftnet/ftnet/internal/certs"
	"github.com/ftnet/ftnet/logserver/backend"
)

// Log checks the log that a URL names: whether an engine could use it. services
// are those that it is for; nil if they are not known.
func Log(u backend.URL, o backend.Options, services []string) []Result {
	switch u.Kind {
	case backend.Disk:
		return slices.Concat(logDirectory(u.Dir), logKey(o.KeyFile))
	case backend.Remote:
		return slices.Concat(logCertificate(o.TLS, services), logServer(u, o))
	}
	return ok("log", "in memory: it survives the servers, not the engine")
}

// slowSync is how long a sync may take before echoes become slow by it.
const slowSync = 20 * time.Millisecond

// littleSpace is what a log should find free, in bytes.
const littleSpace = 1 << 30

// logDirectory looks whether a log could be kept in the directory. It leaves
// nothing behind.
func logDirectory(dir string) []Result {
	const name = "log directory"
	info, err := os.Stat(dir)
	at := dir
	switch {
	case errors.Is(err, os.ErrNotExist):
		at = filepath.Dir(dir) // where the engine would make it
		if info, err = os.Stat(at); err != nil {
			return finding(Fail, name, err.Error(), "make "+at+"; the engine makes only the last directory")
		}
	case err != nil:
		return finding(Fail, name, err.Error(), "")
	}
	if !info.IsDir() {
		return finding(Fail, name, at+" is not a directory", "name another one")
	}
	took, err := trySync(at)
	if err != nil {
		return finding(Fail, name, err.Error(), "give the engine's user write permission, or name another directory")
	}
	results := ok(name, "%s can be written; a sync takes %v", at, took.Round(10*time.Microsecond))
	switch {
	case at == dir && info.Mode().Perm()&0o077 != 0:
		results = append(results, Result{name + " mode", Warn, fmt.Sprintf("%s is open to others than its owner (%v)", dir, info.Mode().Perm()), "chmod 700 " + dir})
	case took > slowSync:
		results = finding(Warn, name, fmt.Sprintf("%s can be written; a sync takes %v: acknowledgments of small requests wait for it", at, took.Round(time.Millisecond)), "use a faster device, if replies are to be quick")
	}
	return append(results, fileSystem(at)...)
}

// trySync writes a little and returns the median time until it is stable.
func trySync(dir string) (time.Duration, error) {
	f, err := os.CreateTemp(dir, ".ftnet-doctor-*")
	if err != nil {
		return 0, err
	}
	defer f.Close()
	defer os.Remove(f.Name())
	var times []time.Duration
	for range 5 {
		begin := time.Now()
		if _, err := f.Write(make([]byte, 4096)); err != nil {
			return 0, err
		}
		if err := f.Sync(); err != nil {
			return 0, err
		}
		times = append(times, time.Since(begin))
	}
	slices.Sort(times)
	return times[len(times)/2], nil
}

// fileSystem looks at what the directory lies on.
func fileSystem(dir string) []Result {
	const name = "log space"
	free, total, volatile, err := space(dir)
	switch {
	case err != nil:
		return finding(Warn, name, err.Error(), "")
	case volatile:
		return finding(Warn, name, dir+" is in memory (tmpfs): nothing of the log survives a reboot", "name a directory on a disk")
	case free < littleSpace:
		return finding(Warn, name, fmt.Sprintf("%v of %v are free", bytesize.Size(free), bytesize.Size(total)), "make room; when there is none, on-full decides")
	}
	return ok(name, "%v of %v are free", bytesize.Size(free), bytesize.Size(total))
}

func logKey(file string) []Result {
	const name = "log key"
	if file == "" {
		return ok(name, "none: the log is not encrypted")
	}
	if _, err := backend.ReadKey(file); err != nil {
		return finding(Fail, name, err.Error(), "")
	}
	return ok(name, "%s", file)
}

// expiresSoon is when a certificate should be renewed.
const expiresSoon = 30 * 24 * time.Hour

// logCertificate looks at the engine's own.
func logCertificate(f certs.Files, services []string) []Result {
	const name = "log certificate"
	if err := f.Check(certs.KindClient); err != nil {
		return finding(Fail, name, err.Error(), "ftnet certs client makes one, ftnet certs renew renews it")
	}
	c, err := certs.ReadCert(f.Cert)
	if err != nil {
		return finding(Fail, name, err.Error(), "")
	}
	var results []Result
	if info, err := os.Stat(f.Key); err == nil && info.Mode().Perm()&0o077 != 0 {
		results = finding(Warn, name+" key", "others than its owner may read "+f.Key, "chmod 600 "+f.Key)
	}
	has := certs.Services(c)
	var lacking []string
	for _, s := range services {
		if !slices.Contains(has, s) && !slices.Contains(has, certs.AnyService) {
			lacking = append(lacking, s)
		}
	}
	if len(lacking) > 0 {
		return append(results, finding(Fail, name, fmt.Sprintf("%s is for %s, not for %s", f.Cert, list(has), list(lacking)),
			"ftnet certs client DIR --service "+strings.Join(append(has, lacking...), " --service "))...)
	}
	return append(results, validity(name, f.Cert+" for "+list(has), c.NotAfter)...)
}

func list(names []string) string {
	if len(names) == 0 {
		return "no service"
	}
	return strings.Join(names, ", ")
}

// validity judges a certificate's last day.
func validity(name, what string, until time.Time) []Result {
	text := fmt.Sprintf("%s: until %s", what, until.Local().Format(time.DateOnly))
	if time.Until(until) < expiresSoon {
		return finding(Warn, name, text, "ftnet certs renew, where the authority is")
	}
	return ok(name, "%s", text)
}

// Times for a log server.
const (
	reachTimeout  = 5 * time.Second
	refusalWindow = 500 * time.Millisecond
)

// logServer connects as an engine would, and says nothing.
func logServer(u backend.URL, o backend.Options) []Result {
	const name = "log server"
	serverName := o.ServerName
	if serverName == "" {
		serverName = u.Host
	}
	cfg, err := certs.ClientTLS(o.TLS, serverName)
	if err != nil {
		return nil // logCertificate has said it
	}
	ctx, cancel := context.WithTimeout(context.Background(), reachTimeout)
	defer cancel()
	begin := time.Now()
	var d net.Dialer
	raw, err := d.DialContext(ctx, "tcp", u.Address())
	if err != nil {
		return finding(Fail, name, fmt.Sprintf("%s cannot be reached: %v", u, err), "does ftnet logd run there, and does a firewall let it through?")
	}
	defer raw.Close()
	took := time.Since(begin)
	c := tls.Client(raw, cfg)
	if err := c.HandshakeContext(ctx); err != nil {
		return finding(Fail, name, fmt.Sprintf("%s: %v", u, err), "its certificate must be signed by log.tls.ca, for the name "+serverName)
	}
	// In TLS 1.3 it judges the engine's certificate after that.
	_ = c.SetReadDeadline(time.Now().Add(refusalWindow))
	var timeout net.Error
	if _, err := c.Read(make([]byte, 1)); err != nil && !(errors.As(err, &timeout) && timeout.Timeout()) {
		return finding(Fail, name, fmt.Sprintf("%s refuses the engine's certificate: %v", u, err), "is it signed by the authority of the log server's tls.ca?")
	}
	state := c.ConnectionState()
	return validity(name, fmt.Sprintf("%s answers (%v); its certificate", u, took.Round(10*time.Microsecond)), state.PeerCertificates[0].NotAfter)
}
