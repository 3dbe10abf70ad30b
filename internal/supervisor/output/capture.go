package output

import (
	"errors"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// Capture reads what the processes of a service write.
type Capture struct {
	// Stdout and Stderr are for the processes, one after another or several at
	// a time. They stay the Capture's.
	Stdout, Stderr *os.File

	dir     string // of the FIFOs; empty: pipes without a name
	readers []*reader
	wg      sync.WaitGroup
}

// NewCapture makes the pipes and begins to read them into log.
func NewCapture(log *Log) (*Capture, error) {
	c := &Capture{}
	if err := c.open(log, pipe); err != nil {
		return nil, err
	}
	return c, nil
}

// open makes the pipes by means of f. After an error none is open.
func (c *Capture) open(log *Log, f func(name string) (r, w *os.File, err error)) error {
	for _, s := range []struct {
		stream Stream
		end    **os.File
	}{{Stdout, &c.Stdout}, {Stderr, &c.Stderr}} {
		in, out, err := f(s.stream.String())
		if err != nil {
			return errors.Join(err, c.Close())
		}
		*s.end = out
		r := &reader{pipe: in}
		c.readers = append(c.readers, r)
		c.wg.Go(func() { r.run(s.stream, log) })
	}
	return nil
}

// Close gives the pipes up, after what is in them has been read. Processes that
// still write get SIGPIPE from then on.
func (c *Capture) Close() error {
	var errs []error
	for _, w := range []*os.File{c.Stdout, c.Stderr} {
		if w != nil {
			errs = append(errs, w.Close())
		}
	}
	for _, r := range c.readers {
		errs = append(errs, r.stop())
	}
	c.wg.Wait()
	for _, r := range c.readers {
		errs = append(errs, r.pipe.Close())
	}
	if c.dir != "" {
		errs = append(errs, os.RemoveAll(c.dir))
	}
	return errors.Join(errs...)
}

// pipe returns a pipe whose read end waits in the runtime's poller, while the
// write end blocks as a process expects it of its standard output.
func pipe(name string) (r, w *os.File, err error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return nil, nil, os.NewSyscallError("pipe2", err)
	}
	// Servers reopen /dev/stderr, which the kernel checks like a file: a
	// process of another user may write, not read.
	err = errors.Join(unix.Fchmod(fds[1], 0o622), unix.SetNonblock(fds[0], true))
	if err != nil {
		unix.Close(fds[0])
		unix.Close(fds[1])
		return nil, nil, err
	}
	return os.NewFile(uintptr(fds[0]), name), os.NewFile(uintptr(fds[1]), name), nil
}
