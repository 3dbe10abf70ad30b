package rawio

import (
	"net/netip"
	"testing"

	"github.com/ftnet/ftnet/internal/segment"
)

// TestTrialStays: no host forwards what a trial sends.
func TestTrialStays(t *testing.T) {
	for _, f := range []Flow{
		{Client: netip.MustParseAddrPort("192.0.2.1:62000"), Server: netip.MustParseAddrPort("192.0.2.2:80")},
		{Client: netip.MustParseAddrPort("[2001:db8::1]:62000"), Server: netip.MustParseAddrPort("[2001:db8::2]:80")},
	} {
		p, err := trialSYN(f)
		if err != nil {
			t.Fatal(err)
		}
		limit := p[8] // RFC 791 section 3.1
		if f.Server.Addr().Is6() {
			limit = p[7] // RFC 8200 section 3
		}
		if limit != 1 {
			t.Errorf("%v: hop limit %d", f, limit)
		}
		var d segment.Decoder
		var s segment.Segment
		if err := d.Decode(p, segment.ChecksumVerify, &s); err != nil || s.Flags != segment.SYN {
			t.Errorf("%v: %v, %v", f, &s, err)
		}
	}
}
