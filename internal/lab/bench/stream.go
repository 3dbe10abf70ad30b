package bench

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/ftnet/ftnet/internal/lab/netlab"
)

// streamSize is how much is written at a time, in bytes: a batch of the remote
// log.
const streamSize = 256 << 10

// tlsSink reads one TLS connection to its end.
func tlsSink(job Job, out io.Writer) (err error) {
	cfg, err := job.Log.config()
	if err != nil {
		return err
	}
	l, err := tls.Listen("tcp", job.Stream, cfg)
	if err != nil {
		return err
	}
	defer l.Close()
	fmt.Fprintln(out, "ready")
	c, err := l.Accept()
	if err != nil {
		return err
	}
	defer c.Close()
	// io.Copy would read into a small buffer.
	for buf := make([]byte, streamSize); err == nil; {
		_, err = c.Read(buf)
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// tlsSource fills one TLS connection.
func tlsSource(job Job, r *Result) error {
	cfg, err := job.Log.config()
	if err != nil {
		return err
	}
	start := time.Now()
	c, err := tls.Dial("tcp", job.Stream, cfg)
	if err != nil {
		return err
	}
	defer c.Close()
	buf := make([]byte, streamSize)
	for left := job.Bytes; left > 0; left -= streamSize {
		if _, err := c.Write(buf[:min(left, streamSize)]); err != nil {
			return err
		}
	}
	r.Seconds = time.Since(start).Seconds()
	return c.Close()
}

// config is what TLS both ends of a stream speak.
func (l LogAt) config() (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(l.Cert, l.Key)
	if err != nil {
		return nil, err
	}
	authority, err := os.ReadFile(l.CA)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(authority) {
		return nil, fmt.Errorf("%s: no certificate", l.CA)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: pool, MinVersion: tls.VersionTLS13, DynamicRecordSizingDisabled: true}, nil
}

// stream measures TLS alone, from where the engine would be to where the log
// server would be: no remote log can cost less.
func (r *logMeasurement) stream(w *world) error {
	address := net.JoinHostPort(netlab.Client4.String(), logPort)
	server := LogAt{CA: r.tls.CA, Cert: filepath.Join(filepath.Dir(r.tls.CA), "server.pem"), Key: filepath.Join(filepath.Dir(r.tls.CA), "server.key")}
	sink, err := w.client(Job{Kind: "tls-sink", Stream: address, Log: server})
	if err != nil {
		return err
	}
	defer sink.stop()
	if err := sink.ready(); err != nil {
		return err
	}
	source, err := w.run(w.lab.Server, Job{Kind: "tls-source", Stream: address, Log: r.tls, Bytes: r.Bytes})
	if err != nil {
		return err
	}
	sunk, err := sink.result()
	if err != nil {
		return err
	}
	r.table.add(plainTCP, streamRate, float64(r.Bytes)/(1<<20)/source.Seconds)
	r.table.add(plainTCP, streamCPU, (source.CPU+sunk.CPU)*(1<<30)/float64(r.Bytes))
	return nil
}
