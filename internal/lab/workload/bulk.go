package workload

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"time"
)

// Transfer tells how an upload or a download went.
type Transfer struct {
	Bytes int64 // of the payload
	Took  time.Duration
	// LongestPause is the longest time that a single write (of up to 64 KiB,
	// into the socket buffer) or read took.
	LongestPause time.Duration
}

const block = 64 << 10

// Upload sends n bytes of the stream with this seed to a bulk server and
// compares the checksum that it answers. dial may be nil.
func Upload(ctx context.Context, dial DialFunc, address string, n int64, seed uint64) (Transfer, error) {
	return transfer(ctx, dial, address, fmt.Sprintf("put %d\n", n), func(conn net.Conn, t *Transfer) error {
		sum, stream, buf := NewChecksum(), NewStream(seed), make([]byte, block)
		for t.Bytes < n {
			p := buf[:min(block, n-t.Bytes)]
			stream.Read(p)
			sum.Write(p)
			began := time.Now()
			done, err := conn.Write(p)
			t.Bytes += int64(done)
			t.LongestPause = max(t.LongestPause, time.Since(began))
			if err != nil {
				return fmt.Errorf("upload stops after %d of %d bytes: %w", t.Bytes, n, err)
			}
		}
		began := time.Now()
		reply, err := bufio.NewReader(conn).ReadString('\n')
		t.LongestPause = max(t.LongestPause, time.Since(began))
		if err != nil {
			return fmt.Errorf("no checksum after the upload of %d bytes: %w", n, err)
		}
		if want := sum.String() + "\n"; reply != want {
			return fmt.Errorf("the server has checksum %q, want %q", reply, want)
		}
		return nil
	})
}

// Download asks a bulk server for n bytes of the stream with this seed and
// compares them. dial may be nil.
func Download(ctx context.Context, dial DialFunc, address string, n int64, seed uint64) (Transfer, error) {
	return transfer(ctx, dial, address, fmt.Sprintf("get %d %d\n", n, seed), func(conn net.Conn, t *Transfer) error {
		stream, buf, expected := NewStream(seed), make([]byte, block), make([]byte, block)
		for t.Bytes < n {
			began := time.Now()
			done, err := conn.Read(buf[:min(block, n-t.Bytes)])
			t.LongestPause = max(t.LongestPause, time.Since(began))
			stream.Read(expected[:done])
			if !bytes.Equal(buf[:done], expected[:done]) {
				at := 0
				for buf[at] == expected[at] {
					at++
				}
				return fmt.Errorf("byte %d of the download is %#x, want %#x", t.Bytes+int64(at), buf[at], expected[at])
			}
			t.Bytes += int64(done)
			if err != nil {
				return fmt.Errorf("download stops after %d of %d bytes: %w", t.Bytes, n, err)
			}
		}
		return nil
	})
}

// transfer dials, sends the command, has f do the work, finishes and awaits
// the server's FIN.
func transfer(ctx context.Context, dial DialFunc, address, command string, f func(net.Conn, *Transfer) error) (t Transfer, err error) {
	began := time.Now()
	defer func() { t.Took = time.Since(began) }()
	conn, err := dial.orDefault()(ctx, "tcp", address)
	if err != nil {
		return t, err
	}
	defer conn.Close()
	defer untilDone(ctx, conn)()
	if _, err := io.WriteString(conn, command); err != nil {
		return t, err
	}
	if err := f(conn, &t); err != nil {
		return t, err
	}
	if c, ok := conn.(interface{ CloseWrite() error }); ok {
		if err := c.CloseWrite(); err != nil {
			return t, err
		}
	}
	if n, err := io.Copy(io.Discard, conn); n > 0 || err != nil {
		return t, fmt.Errorf("after the transfer: %d bytes, %v, want the server's FIN", n, err)
	}
	return t, nil
}
