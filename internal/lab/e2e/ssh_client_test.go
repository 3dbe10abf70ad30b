package e2e

import (
	"bytes"
	bigendian "encoding/binary"
	"io"
	"strings"
)

// sshClient speaks the unencrypted beginning of SSH (RFC 4253): the version
// line, and the key exchange's first message, with a cookie of sixteen
// random bytes.
type sshClient struct {
	*client
	seen bytes.Buffer // all bytes that came
}

func (r *rig) dialSSH(f family) *sshClient {
	r.t.Helper()
	return &sshClient{client: r.dialTo(f.dial(r), f.address(sshPort))}
}

// Read notes what comes.
func (c *sshClient) Read(p []byte) (int, error) {
	n, err := c.in.Read(p)
	c.seen.Write(p[:n])
	return n, err
}

// version exchanges the version lines.
func (c *sshClient) version() {
	c.t.Helper()
	c.greeted()
	c.greet()
}

// greet sends the client's version line. The server's first message of the key
// exchange is the answer.
func (c *sshClient) greet() {
	c.t.Helper()
	if _, err := io.WriteString(c, "SSH-2.0-e2e\r\n"); err != nil {
		c.t.Fatal(err)
	}
}

// greeted reads the server's version line.
func (c *sshClient) greeted() {
	c.t.Helper()
	var line []byte
	for !bytes.HasSuffix(line, []byte("\n")) {
		b := make([]byte, 1)
		if _, err := io.ReadFull(c, b); err != nil {
			c.t.Fatalf("after %q: %v", line, err)
		}
		line = append(line, b...)
	}
	if !strings.HasPrefix(string(line), "SSH-2.0-") {
		c.t.Fatalf("the server says %q", line)
	}
}

const sshKexInit = 20 // SSH_MSG_KEXINIT

// keyExchangeInit exchanges the first messages of the key exchange and returns
// the server's cookie and where in the stream it is.
func (c *sshClient) keyExchangeInit() (cookie []byte, offset int) {
	c.t.Helper()
	payload := append([]byte{sshKexInit}, make([]byte, 16)...) // any cookie will do
	for _, list := range []string{
		"curve25519-sha256", "ssh-ed25519",
		"aes128-ctr", "aes128-ctr", "hmac-sha2-256", "hmac-sha2-256", "none", "none", "", "",
	} {
		payload = bigendian.BigEndian.AppendUint32(payload, uint32(len(list)))
		payload = append(payload, list...)
	}
	payload = append(payload, make([]byte, 5)...) // no guess, reserved
	if _, err := c.Write(sshPacket(payload)); err != nil {
		c.t.Fatal(err)
	}
	offset = c.seen.Len() + 4 + 1 + 1 // packet length, padding length, message number
	got := c.packet()
	if len(got) < 17 || got[0] != sshKexInit {
		c.t.Fatalf("the server sends %q", got)
	}
	return got[1:17], offset
}

// sshPacket is the binary packet of RFC 4253, section 6, without encryption.
func sshPacket(payload []byte) []byte {
	padding := 8 - (4+1+len(payload))%8
	if padding < 4 {
		padding += 8
	}
	b := bigendian.BigEndian.AppendUint32(nil, uint32(1+len(payload)+padding))
	b = append(b, byte(padding))
	b = append(b, payload...)
	return append(b, make([]byte, padding)...)
}

// packet reads one and returns its payload.
func (c *sshClient) packet() []byte {
	c.t.Helper()
	var head [5]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		c.t.Fatal(err)
	}
	b := make([]byte, bigendian.BigEndian.Uint32(head[:])-1)
	if _, err := io.ReadFull(c, b); err != nil {
		c.t.Fatal(err)
	}
	return b[:len(b)-int(head[4])]
}
