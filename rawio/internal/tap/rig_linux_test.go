package tap

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/internal/lab/netlab"
	"github.com/ftnet/ftnet/internal/segment"
)

// portFilter accepts TCP to servicePort, without IP options or extension
// headers. The gate brings a better one.
func portFilter(t testing.TB) *ebpf.Program {
	t.Helper()
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type:    ebpf.SocketFilter,
		License: "GPL",
		Instructions: asm.Instructions{
			asm.Mov.Reg(asm.R6, asm.R1),
			asm.LoadAbs(0, asm.Byte),
			asm.RSh.Imm(asm.R0, 4),
			asm.JEq.Imm(asm.R0, 6, "v6"),
			asm.LoadAbs(9, asm.Byte),
			asm.JNE.Imm(asm.R0, unix.IPPROTO_TCP, "no"),
			asm.LoadAbs(22, asm.Half),
			asm.Ja.Label("port"),
			asm.LoadAbs(6, asm.Byte).WithSymbol("v6"),
			asm.JNE.Imm(asm.R0, unix.IPPROTO_TCP, "no"),
			asm.LoadAbs(42, asm.Half),
			asm.JNE.Imm(asm.R0, servicePort, "no").WithSymbol("port"),
			asm.Mov.Imm(asm.R0, -1),
			asm.Return(),
			asm.Mov.Imm(asm.R0, 0).WithSymbol("no"),
			asm.Return(),
		},
	})
	if err != nil {
		t.Fatalf("load filter: %v", err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

func openIn(t testing.TB, ns *netlab.Namespace, c Config) *Tap {
	t.Helper()
	var tap *Tap
	if err := ns.Run(func() (err error) {
		tap, err = Open(c)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tap.Close() })
	return tap
}

// transfer sends data from a client in one namespace to a server in another
// and closes the connection. Since the kernel's TCP accepted all of it, the tap
// has it in its queue when transfer returns. It returns the client's address.
func transfer(t testing.TB, from, to *netlab.Namespace, server netip.AddrPort, data []byte) netip.AddrPort {
	t.Helper()
	ln, err := to.Listen("tcp", server.String())
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	done := make(chan error, 1)
	go func() {
		c, err := ln.Accept()
		if err != nil {
			done <- err
			return
		}
		defer c.Close()
		got, err := io.ReadAll(c)
		if err == nil && !bytes.Equal(got, data) {
			err = errors.New("the server read something else")
		}
		done <- err
	}()
	c, err := from.Dial("tcp", server.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return c.LocalAddr().(*net.TCPAddr).AddrPort()
}

// seen is what a tap saw of one connection's client side.
type seen struct {
	Stream   []byte
	SYN, FIN bool
	Largest  int
}

// piece is a segment's data, at an offset of the stream.
type piece struct {
	off  int
	data []byte
	fin  bool
}

// watch reads until the client's FIN, and puts in order what has overtaken something on its
// way: a veth pair hands packets over on the CPU that sends them.
func watch(t testing.TB, tap *Tap, flow segment.Flow, check func(*Packet)) seen {
	t.Helper()
	var (
		b     Batch
		d     segment.Decoder
		s     segment.Segment
		first uint32
		saw   seen
		ahead []piece // beyond a gap
	)
	for !saw.FIN {
		n, err := tap.ReadBatch(&b)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 || n != len(b.Packets) {
			t.Fatalf("ReadBatch = %d with %d packets", n, len(b.Packets))
		}
		for i := range b.Packets {
			p := &b.Packets[i]
			if p.Truncated {
				t.Fatalf("a packet of %d bytes is truncated", len(p.Data))
			}
			if err := d.Decode(p.Data, p.Checksum, &s); err != nil {
				t.Fatalf("decode: %v", err)
			}
			if s.Src != flow.Client || s.Dst != flow.Server {
				t.Fatalf("not the client's: %v", &s)
			}
			check(p)
			if saw.FIN {
				continue // the acknowledgment of the server's FIN
			}
			saw.Largest = max(saw.Largest, len(p.Data))
			if s.Flags.Has(segment.SYN) {
				saw.SYN, first = true, s.Seq+1
				continue
			}
			ahead = append(ahead, piece{int(s.Seq - first), bytes.Clone(s.Payload), s.Flags.Has(segment.FIN)})
			slices.SortFunc(ahead, func(a, b piece) int { return a.off - b.off })
			for len(ahead) > 0 && ahead[0].off <= len(saw.Stream) {
				saw.Stream = append(saw.Stream, ahead[0].data[min(len(saw.Stream)-ahead[0].off, len(ahead[0].data)):]...)
				saw.FIN = saw.FIN || ahead[0].fin
				ahead = ahead[1:]
			}
		}
	}
	return saw
}
