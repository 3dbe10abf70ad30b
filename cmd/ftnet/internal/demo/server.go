package demo

import (
	"bufio"
	"fmt"
	"hash/fnv"
	"net"
	"strings"
)

// Ledger is the state of one connection: each reply depends on every line
// before. Nothing of it is stored anywhere; a restarted server has it again only
// if it reads every line again.
type Ledger struct {
	lines uint64
	sum   uint64
}

// Add takes one line, without its line end, and returns the reply.
func (l *Ledger) Add(line string) string {
	h := fnv.New64a()
	fmt.Fprintf(h, "%016x %s", l.sum, line)
	l.lines++
	l.sum = h.Sum64()
	return fmt.Sprintf("%d %016x", l.lines, l.sum)
}

// Serve answers connections until the listener is closed.
func Serve(l net.Listener) error {
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			var ledger Ledger
			for in := bufio.NewReader(c); ; {
				line, err := in.ReadString('\n')
				if err != nil {
					return // the client is done, or gone
				}
				if _, err := c.Write([]byte(ledger.Add(strings.TrimSuffix(line, "\n")) + "\n")); err != nil {
					return
				}
			}
		}()
	}
}
