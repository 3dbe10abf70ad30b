package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ftnet/ftnet/internal/lab/netlab"
	"github.com/ftnet/ftnet/internal/lab/netlab/capture"
	"github.com/ftnet/ftnet/internal/lab/testenv"
	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/internal/status"
)

const sshPort = 2222

// sshd runs OpenSSH's server, unmodified, with a host key of its own.
func sshd(t testing.TB, flags ...string) *rig {
	t.Helper()
	testenv.RequireRoot(t)
	testenv.RequireTool(t, "sshd")
	testenv.RequireTool(t, "ssh-keygen")
	dir := publicDir(t)
	key := filepath.Join(dir, "key")
	r := prepare(t, options{})
	if out, err := r.lab.Server.Command(program(t, "ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", key).CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen: %v\n%s", err, out)
	}
	// Debian's sshd confines the process that talks to strangers there.
	if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
		t.Fatal(err)
	}
	conf := filepath.Join(dir, "sshd_config")
	text := fmt.Sprintf("Port %d\nHostKey %s\nPidFile none\nUsePAM no\nMaxStartups 1000\n", sshPort, key)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	r.spawn(unmodifiedOptions(sshPort, flags...), program(t, "sshd"), "-D", "-e", "-f", conf)
	return r
}

// TestSSHIsNotDeterministic: after a crash sshd would have the client go on with
// another key exchange. The client is reset before it sees a byte of it, and
// the log says why and where the difference is. A client that has seen nothing
// that differs is served on.
func TestSSHIsNotDeterministic(t *testing.T) {
	for _, f := range families[:2] {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			r := sshd(t)
			file := filepath.Join(t.TempDir(), "client.pcapng")
			capturing, err := capture.Start(r.lab.Client, netlab.ClientLink, file, 65535)
			if err != nil {
				t.Fatal(err)
			}
			type exchanged struct {
				*sshClient
				cookie []byte
				offset int
			}
			var far []exchanged
			for range 5 {
				c := r.dialSSH(f)
				c.version()
				cookie, offset := c.keyExchangeInit()
				far = append(far, exchanged{c, cookie, offset})
			}
			near := r.dialSSH(f)
			near.greeted()
			r.kill()
			for _, c := range far {
				c.SetReadDeadline(time.Now().Add(20 * time.Second))
				if n, err := io.Copy(io.Discard, c); n != 0 || !errors.Is(err, syscall.ECONNRESET) {
					t.Errorf("after the crash: %d bytes, %v; want a reset", n, err)
				}
			}
			r.recovered()
			near.greet()
			if _, offset := near.keyExchangeInit(); offset != far[0].offset {
				t.Errorf("a cookie at %d, another at %d", offset, far[0].offset)
			}
			r.mismatches(len(far), far[0].offset, far[0].offset+len(far[0].cookie))
			next := r.dialSSH(f)
			next.version()
			next.keyExchangeInit()

			stats, err := capturing.Stop()
			if err != nil || stats.Lost > 0 {
				t.Fatalf("the capture is incomplete: %+v, %v", stats, err)
			}
			streams := sent(t, file, sshPort)
			for _, c := range far {
				if got := streams[c.LocalAddr().String()]; !bytes.Equal(got, c.seen.Bytes()) {
					t.Errorf("on the wire were %d bytes to %v, it has read %d", len(got), c.LocalAddr(), c.seen.Len())
				}
			}
		})
	}
}

var differs = regexp.MustCompile(`the output of the restarted server differs .* within the (\d+) bytes before byte (\d+)`)

// mismatches waits until n connections have been reset because their server
// repeated itself differently, and checks that the log says where: in a part
// of the output that has what differs, which is between two offsets.
func (r *rig) mismatches(n, from, to int) {
	r.t.Helper()
	r.waitStatus("the mismatches are counted", func(d *status.Document) bool { return d.Services[0].Mismatches == uint64(n) })
	r.countOutput("the output of the restarted server differs ", n) // they may come later
	said := 0
	for line := range strings.Lines(r.out.String()) {
		m := differs.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		length, _ := strconv.Atoi(m[1]) // digits
		end, _ := strconv.Atoi(m[2])
		if end <= from || end-length >= to {
			r.t.Errorf("what differs is from %d to %d, but the log says %q", from, to, line)
		}
		said++
	}
	if said != n {
		r.t.Errorf("the log names %d differences, want %d", said, n)
	}
}

// sent returns for each client all bytes that the server's side sent it, as a
// stream, and fails the test if two segments with the same bytes differ.
func sent(t testing.TB, file string, port uint16) map[string][]byte {
	t.Helper()
	type stream struct {
		start uint32
		data  []byte
	}
	all := map[string]*stream{}
	for s, err := range capture.Segments(file, netip.Addr{}) {
		if err != nil {
			t.Fatal(err)
		}
		if s.Src.Port() != port {
			continue
		}
		client := s.Dst.String()
		if s.Flags.Has(segment.SYN) {
			all[client] = &stream{start: s.Seq + 1}
			continue
		}
		st := all[client]
		if st == nil || len(s.Payload) == 0 {
			continue
		}
		at := int(int32(s.Seq - st.start))
		if at < 0 || at > len(st.data) {
			t.Errorf("packet %d to %s: %d bytes at %d, after %d", s.Number, client, len(s.Payload), at, len(st.data))
			continue
		}
		n := min(len(s.Payload), len(st.data)-at)
		if !bytes.Equal(st.data[at:at+n], s.Payload[:n]) {
			t.Errorf("packet %d to %s: other bytes at %d than before", s.Number, client, at)
		}
		st.data = append(st.data, s.Payload[n:]...)
	}
	streams := map[string][]byte{}
	for client, s := range all {
		streams[client] = s.data
	}
	return streams
}
