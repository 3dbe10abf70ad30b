// Command logbench measures logs side by side; see package logbench. Logs are
// named by their URLs, as for "ftnet run --log". It writes some gibibytes below
// the directories of file: logs, which must be empty or not be there, and leaves
// an empty log there.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/ftnet/ftnet/internal/lab/bench/logbench"
	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/backend"
)

// quotaTotal is room for all that is measured, in bytes.
const quotaTotal = 4 << 30

// connectLimit is how long a log server may take to answer.
const connectLimit = 10 * time.Second

func main() {
	var urls []string
	flag.Func("log", "`URL` of a log to measure: memory:, file:///path or ftlog://host:port; may be given several times", func(url string) error {
		_, err := backend.Parse(url)
		urls = append(urls, url)
		return err
	})
	var remote backend.Options
	flag.StringVar(&remote.TLS.Authority, "log-ca", "", "`file` with the certificates of the log server's authorities")
	flag.StringVar(&remote.TLS.Cert, "log-cert", "", "`file` with the certificate for the log server")
	flag.StringVar(&remote.TLS.Key, "log-tls-key", "", "`file` with its key")
	var options logbench.Options
	options.Register(flag.CommandLine)
	flag.Parse()
	if err := run(urls, remote, &options); err != nil {
		fmt.Fprintln(os.Stderr, "logbench:", err)
		os.Exit(1)
	}
}

func run(urls []string, remote backend.Options, options *logbench.Options) error {
	if len(urls) == 0 {
		return errors.New("no -log")
	}
	var targets []logbench.Target
	for _, url := range urls {
		u, err := backend.Parse(url)
		if err != nil {
			return err
		}
		if u.Kind == backend.Disk {
			if err := os.MkdirAll(u.Dir, 0o700); err != nil {
				return err
			}
		}
		o := backend.Options{QuotaTotal: quotaTotal}
		if u.Kind == backend.Remote {
			o = remote
		}
		targets = append(targets, logbench.Target{Name: u.String(), Dir: u.Dir, Open: func() (logserver.Log, error) { return open(url, o) }})
	}
	return options.Main(targets, os.Stdout, os.Stderr)
}

// open opens a log and waits until a log server has answered.
func open(url string, o backend.Options) (logserver.Log, error) {
	l, err := backend.Open(url, o)
	if err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(connectLimit); l.Status()&logserver.Unreachable != 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			return nil, errors.Join(fmt.Errorf("%s: %w", url, logserver.ErrUnreachable), l.Close())
		}
	}
	return l, nil
}
