// Counter is a server whose every reply depends on all that the client has
// said before on the same connection. A crash that lost, repeated or changed
// one byte would show in all replies after it. Run it under ftnet and kill it
// as you like:
//
//	ftnet run -- counter -listen :7000
//
// The protocol is one of lines, each ended by a line feed and at most 64 KiB
// long. The server answers each line with
//
//	NUMBER SUM HASH
//
// where NUMBER counts the lines of this connection from 1, SUM adds up those
// of its lines that are decimal integers (modulo 2⁶⁴, written as a signed
// number), and HASH is the 64-bit FNV-1a hash, in 16 hexadecimal digits, of
// all bytes of the connection so far, line feeds included. When the client has
// finished, so does the server; a last line without a line feed counts for
// nothing.
//
// The only difference from a plain server is ftnet.Listen instead of
// net.Listen. The state needs no help: a restarted server computes it anew from
// the client's bytes, which ftnet feeds it again. Built with "-tags plain" it
// is that plain server, which ftnet protects as it does any other binary:
//
//	ftnet run --unmodified --listen :7000 -- counter -listen :7000
package main

import (
	"bufio"
	"flag"
	"fmt"
	"hash/fnv"
	"io"
	"log"
	"net"
	"strconv"
)

func main() {
	address := flag.String("listen", ":7000", "address to listen on")
	flag.Parse()
	ln, err := listen("tcp", *address)
	if err != nil {
		log.Fatal(err)
	}
	log.Print("listening on ", ln.Addr())
	log.Fatal(serve(ln))
}

func serve(ln net.Listener) error {
	for {
		conn, err := ln.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer conn.Close()
			if err := count(conn); err != nil {
				log.Print(conn.RemoteAddr(), ": ", err)
			}
		}()
	}
}

const maxLine = 64 << 10

func count(conn net.Conn) error {
	in, out := bufio.NewReaderSize(conn, maxLine), bufio.NewWriter(conn)
	var number, sum int64
	hash := fnv.New64a()
	for {
		line, err := in.ReadSlice('\n')
		if err == io.EOF {
			return out.Flush()
		}
		if err != nil {
			return err
		}
		number++
		if n, err := strconv.ParseInt(string(line[:len(line)-1]), 10, 64); err == nil {
			sum += n
		}
		hash.Write(line)
		fmt.Fprintf(out, "%d %d %016x\n", number, sum, hash.Sum64())
		if in.Buffered() == 0 { // the client waits for our answers
			if err := out.Flush(); err != nil {
				return err
			}
		}
	}
}
