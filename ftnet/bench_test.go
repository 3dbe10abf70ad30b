//go:build linux

package ftnet

import (
	"fmt"
	"io"
	"net"
	"testing"
)

// benchConns runs b on a plain and on a protected connection over loopback,
// without a gate: the difference is what this package costs.
func benchConns(b *testing.B, f func(b *testing.B, server, client net.Conn)) {
	b.Run("plain", func(b *testing.B) {
		ln, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		defer ln.Close()
		cl, err := net.Dial("tcp4", ln.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		defer cl.Close()
		c, err := ln.Accept()
		if err != nil {
			b.Fatal(err)
		}
		defer c.Close()
		f(b, c, cl)
	})
	for _, compare := range []Compare{CompareStrict, CompareLength} {
		b.Run("ftnet-"+compare.String(), func(b *testing.B) {
			_, _, c, cl := pair(b, ListenConfig{Compare: compare})
			f(b, c, cl.TCPConn)
		})
	}
}

func BenchmarkRoundTrip(b *testing.B) {
	benchConns(b, func(b *testing.B, server, client net.Conn) {
		go func() {
			buf := make([]byte, 64)
			for {
				if _, err := io.ReadFull(server, buf); err != nil {
					return
				}
				server.Write(buf)
			}
		}()
		buf := make([]byte, 64)
		b.ReportAllocs()
		for b.Loop() {
			client.Write(buf)
			if _, err := io.ReadFull(client, buf); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkWrite(b *testing.B) {
	for _, size := range []int{64, 64 << 10, 1 << 20} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			benchConns(b, func(b *testing.B, server, client net.Conn) {
				go io.Copy(io.Discard, client)
				buf := make([]byte, size)
				b.SetBytes(int64(size))
				for b.Loop() {
					if _, err := server.Write(buf); err != nil {
						b.Fatal(err)
					}
				}
			})
		})
	}
}

func BenchmarkRead(b *testing.B) {
	benchConns(b, func(b *testing.B, server, client net.Conn) {
		go func() {
			buf := make([]byte, 1<<20)
			for {
				if _, err := client.Write(buf); err != nil {
					return
				}
			}
		}()
		buf := make([]byte, 64<<10)
		b.SetBytes(int64(len(buf)))
		for b.Loop() {
			if _, err := io.ReadFull(server, buf); err != nil {
				b.Fatal(err)
			}
		}
	})
}
