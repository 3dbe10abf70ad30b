package bench

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// logged fills connections with bytes that have no reply, and says that it is
// ready once all of them are acknowledged, which for a protected connection
// means logged. After the driver's line, when the server has been killed and all
// is recovered, it ends the connections and checks that the server has read
// every byte.
func logged(job Job, in io.Reader, out io.Writer) error {
	conns := make([]*net.TCPConn, job.Count)
	err := each(job.Count, func(i int) error {
		c, err := dial(job, modeUpload)
		if err != nil {
			return err
		}
		conns[i] = c.(*net.TCPConn)
		return fill(conns[i], job.Bytes)
	})
	defer func() {
		for _, c := range conns {
			if c != nil {
				c.Close()
			}
		}
	}()
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "ready")
	if _, err := bufio.NewReader(in).ReadString('\n'); err != nil {
		return err
	}
	return each(job.Count, func(i int) error { return finish(conns[i], job.Bytes) })
}

// fill sends n bytes and waits until the peer has acknowledged them.
func fill(c *net.TCPConn, n int64) error {
	buf := make([]byte, bulkSize)
	for left := n; left > 0; left -= bulkSize {
		if _, err := c.Write(buf[:min(left, bulkSize)]); err != nil {
			return err
		}
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	for deadline := time.Now().Add(pauseLimit); ; time.Sleep(2 * time.Millisecond) {
		var unacked int
		var queried error
		err := raw.Control(func(fd uintptr) { unacked, queried = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) })
		if err = errors.Join(err, queried); err != nil || unacked == 0 {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%d bytes are not acknowledged", unacked)
		}
	}
}

// finish ends an upload of n bytes and reads how many arrived.
func finish(c *net.TCPConn, n int64) error {
	c.SetDeadline(time.Now().Add(pauseLimit))
	if err := c.CloseWrite(); err != nil {
		return err
	}
	var total [8]byte
	if _, err := io.ReadFull(c, total[:]); err != nil {
		return err
	}
	if got := binary.BigEndian.Uint64(total[:]); got != uint64(n) {
		return fmt.Errorf("the server has read %d of %d bytes", got, n)
	}
	return nil
}

// each calls f for every number below n at the same time.
func each(n int, f func(i int) error) error {
	errs := make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { errs[i] = f(i) })
	}
	all.Wait()
	return errors.Join(errs...)
}
