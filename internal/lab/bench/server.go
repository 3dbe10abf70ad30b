package bench

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"
)

// The first byte that a client sends says what the connection is for.
const (
	modeUpload   = 'u' // all bytes up to EOF; answered with their number
	modeDownload = 'd' // a number of bytes; answered with as many
	modeEcho     = 'e' // messages of echoSize bytes, each sent back
	modeLoaded   = 'l' // a number of bytes, as many bytes; then as modeEcho
	modeConnect  = 'c' // answered with one byte and closed
)

const (
	echoSize = 64        // bytes
	bulkSize = 256 << 10 // bytes of one read or write
)

// ServeAndSay prints that the server listens, as ReadyFormat says, and serves.
func ServeAndSay(ln net.Listener) error {
	if _, err := fmt.Printf(ReadyFormat, os.Getpid(), time.Now().UnixNano()); err != nil {
		return err
	}
	return Serve(ln)
}

// Serve answers clients until the listener is closed. What it does on a
// connection follows from what it has read there and from nothing else, so
// that it may be rolled forward.
func Serve(ln net.Listener) error {
	for {
		c, err := ln.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			serve(c)
		}()
	}
}

func serve(c net.Conn) {
	var head [9]byte
	if _, err := io.ReadFull(c, head[:1]); err != nil {
		return
	}
	switch head[0] {
	case modeUpload:
		buf := make([]byte, bulkSize)
		var total uint64
		for {
			n, err := c.Read(buf)
			total += uint64(n)
			if err == io.EOF {
				break
			}
			if err != nil {
				return
			}
		}
		c.Write(binary.BigEndian.AppendUint64(nil, total))
	case modeDownload:
		if _, err := io.ReadFull(c, head[1:]); err != nil {
			return
		}
		buf := make([]byte, bulkSize)
		for left := binary.BigEndian.Uint64(head[1:]); left > 0; {
			n, err := c.Write(buf[:min(left, bulkSize)])
			if err != nil {
				return
			}
			left -= uint64(n)
		}
	case modeLoaded:
		if _, err := io.ReadFull(c, head[1:]); err != nil {
			return
		}
		if _, err := io.CopyN(io.Discard, c, int64(binary.BigEndian.Uint64(head[1:]))); err != nil {
			return
		}
		echoes(c)
	case modeEcho:
		echoes(c)
	case modeConnect:
		c.Write(head[:1])
	}
}

func echoes(c net.Conn) {
	r := bufio.NewReaderSize(c, 4*echoSize) // small: thousands of these are open
	var message [echoSize]byte
	for {
		if _, err := io.ReadFull(r, message[:]); err != nil {
			return
		}
		if _, err := c.Write(message[:]); err != nil {
			return
		}
	}
}
