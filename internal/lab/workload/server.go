package workload

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
)

// ServeBulk accepts connections of Upload and Download until ln fails. A
// connection may carry any number of commands, each a line:
//
//	put N       N bytes follow; answered by their checksum in hexadecimal, and a line feed
//	get N SEED  answered by the first N bytes of the stream with that seed
//
// report, which may be nil, is told each connection that ended with an error.
func ServeBulk(ln net.Listener, report func(net.Conn, error)) error {
	for {
		conn, err := ln.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer conn.Close()
			if err := serveBulk(conn); err != nil && report != nil {
				report(conn, err)
			}
		}()
	}
}

func serveBulk(conn net.Conn) error {
	in := bufio.NewReaderSize(conn, block)
	for {
		line, err := in.ReadSlice('\n')
		if err == io.EOF && len(line) == 0 {
			return nil
		}
		if err != nil {
			return err
		}
		var n int64
		var seed uint64
		if _, err := fmt.Sscanf(string(line), "put %d\n", &n); err == nil && n >= 0 {
			sum := NewChecksum()
			if _, err := io.CopyN(sum, in, n); err != nil {
				return fmt.Errorf("put: %w", err)
			}
			if _, err := fmt.Fprintln(conn, sum); err != nil {
				return err
			}
			continue
		}
		if _, err := fmt.Sscanf(string(line), "get %d %d\n", &n, &seed); err == nil && n >= 0 {
			if err := sendStream(conn, n, seed); err != nil {
				return fmt.Errorf("get: %w", err)
			}
			continue
		}
		return errors.New("unknown command")
	}
}

func sendStream(conn net.Conn, n int64, seed uint64) error {
	stream, buf := NewStream(seed), make([]byte, block)
	for n > 0 {
		p := buf[:min(block, n)]
		stream.Read(p)
		if _, err := conn.Write(p); err != nil {
			return err
		}
		n -= int64(len(p))
	}
	return nil
}
