package bench

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Job is what the driver asks a client process to do, in JSON.
type Job struct {
	Kind    string        // upload, download, echo, connect, idle, pause, logged, upcall, tls-sink, tls-source
	Address string        // of the server
	Bytes   int64         // upload, download, tls-source: how many; pause, logged: on each connection before the kill
	Count   int           // echo: round trips; idle, pause, logged: connections
	For     time.Duration // connect, upcall: how long
	Log     LogAt         // upcall: which; tls-sink, tls-source: certificates
	Stream  string        // tls-sink, tls-source: address of the sink
}

// Result is what a client process reports, in JSON, on its last line.
type Result struct {
	Seconds  float64 // how long the transfer took, connecting included
	PerSec   float64 // connect: connections per second
	P50, P99 float64 // echo: of a round trip, upcall: from a write to the upcall, in microseconds
	Longest  float64 // pause: longest wait for a reply around the kill, in milliseconds
	Before   float64 // pause: longest wait before the kill, in milliseconds
	Errors   int     // connections that saw an error
	CPU      float64 // seconds of CPU time of the client process
}

// RunClient does the job and writes the result to out. Jobs with connections
// that stay open first write the line "ready" and then wait for a line on in.
func RunClient(job Job, in io.Reader, out io.Writer) error {
	var r Result
	var err error
	switch job.Kind {
	case "upload":
		err = upload(job, &r)
	case "download":
		err = download(job, &r)
	case "echo":
		err = echo(job, &r)
	case "connect":
		err = connect(job, &r)
	case "idle":
		err = idle(job, in, out)
	case "pause":
		err = pause(job, in, out, &r)
	case "logged":
		err = logged(job, in, out)
	case "upcall":
		err = upcall(job, &r)
	case "tls-sink":
		err = tlsSink(job, out)
	case "tls-source":
		err = tlsSource(job, &r)
	default:
		err = fmt.Errorf("unknown job %q", job.Kind)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", job.Kind, err)
	}
	var use syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &use); err != nil {
		return err
	}
	r.CPU = time.Duration(use.Utime.Nano() + use.Stime.Nano()).Seconds()
	return json.NewEncoder(out).Encode(r)
}

func upload(job Job, r *Result) error {
	start := time.Now()
	c, err := dial(job, modeUpload)
	if err != nil {
		return err
	}
	defer c.Close()
	buf := make([]byte, bulkSize)
	for left := job.Bytes; left > 0; {
		n, err := c.Write(buf[:min(left, bulkSize)])
		if err != nil {
			return err
		}
		left -= int64(n)
	}
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		return err
	}
	var total [8]byte
	if _, err := io.ReadFull(c, total[:]); err != nil {
		return err
	}
	r.Seconds = time.Since(start).Seconds()
	if n := binary.BigEndian.Uint64(total[:]); n != uint64(job.Bytes) {
		return fmt.Errorf("the server has read %d of %d bytes", n, job.Bytes)
	}
	return nil
}

func download(job Job, r *Result) error {
	start := time.Now()
	c, err := dial(job, modeDownload)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := c.Write(binary.BigEndian.AppendUint64(nil, uint64(job.Bytes))); err != nil {
		return err
	}
	buf := make([]byte, bulkSize)
	var total int64
	for {
		n, err := c.Read(buf)
		total += int64(n)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	r.Seconds = time.Since(start).Seconds()
	if total != job.Bytes {
		return fmt.Errorf("read %d of %d bytes", total, job.Bytes)
	}
	return nil
}

func echo(job Job, r *Result) error {
	c, err := dial(job, modeEcho)
	if err != nil {
		return err
	}
	defer c.Close()
	var message [echoSize]byte
	times := make([]time.Duration, 0, job.Count)
	for i := range job.Count + job.Count/10 {
		start := time.Now()
		if err := exchange(c, message[:]); err != nil {
			return err
		}
		if i >= job.Count/10 { // the first tenth warms up
			times = append(times, time.Since(start))
		}
	}
	slices.Sort(times)
	r.P50 = micros(times[len(times)/2])
	r.P99 = micros(times[len(times)*99/100])
	return nil
}

// connect opens connections one after the other in a few workers. The server
// closes first, so that TIME_WAIT is its burden and no port of the client's.
func connect(job Job, r *Result) error {
	const workers = 4
	var done atomic.Int64
	var all sync.WaitGroup
	errs := make([]error, workers)
	start := time.Now()
	for w := range workers {
		all.Go(func() {
			for time.Since(start) < job.For {
				c, err := dial(job, modeConnect)
				if err == nil {
					_, err = io.ReadAll(c)
					c.Close()
				}
				if err != nil {
					errs[w] = err
					return
				}
				done.Add(1)
			}
		})
	}
	all.Wait()
	r.PerSec = float64(done.Load()) / time.Since(start).Seconds()
	return errors.Join(errs...)
}

func idle(job Job, in io.Reader, out io.Writer) error {
	conns, err := dialMany(job)
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "ready")
	bufio.NewReader(in).ReadString('\n')
	for _, c := range conns {
		drop(c)
	}
	return nil
}

// drop ends one of many connections by RST. In TIME-WAIT they would keep their ports, and
// the kernel looks at one after the other for each connection that is opened later.
func drop(c net.Conn) {
	c.(*net.TCPConn).SetLinger(0)
	c.Close()
}

// dialMany opens echo connections, each of which has had one reply.
func dialMany(job Job) ([]net.Conn, error) {
	conns := make([]net.Conn, job.Count)
	errs := make([]error, job.Count)
	var all sync.WaitGroup
	slots := make(chan struct{}, 64)
	for i := range conns {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			c, err := dialLoaded(job)
			if err == nil {
				err = exchange(c, make([]byte, echoSize))
			}
			conns[i], errs[i] = c, err
		})
	}
	all.Wait()
	return conns, errors.Join(errs...)
}

// dialLoaded opens an echo connection after so many bytes that have no reply.
func dialLoaded(job Job) (net.Conn, error) {
	if job.Bytes == 0 {
		return dial(job, modeEcho)
	}
	c, err := dial(job, modeLoaded)
	if err != nil {
		return nil, err
	}
	_, err = c.Write(append(binary.BigEndian.AppendUint64(nil, uint64(job.Bytes)), make([]byte, job.Bytes)...))
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func dial(job Job, mode byte) (net.Conn, error) {
	c, err := net.DialTimeout("tcp", job.Address, 30*time.Second)
	if err != nil {
		return nil, err
	}
	if _, err := c.Write([]byte{mode}); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func exchange(c net.Conn, message []byte) error {
	if _, err := c.Write(message); err != nil {
		return err
	}
	_, err := io.ReadFull(c, message)
	return err
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// ClientMain is the whole client process: the job is its argument.
func ClientMain(argument string) error {
	var job Job
	if err := json.Unmarshal([]byte(argument), &job); err != nil {
		return err
	}
	return RunClient(job, os.Stdin, os.Stdout)
}
