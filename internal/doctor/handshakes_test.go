package doctor

import (
	"strings"
	"testing"

	"github.com/ftnet/ftnet/internal/fwmark"
	"github.com/ftnet/ftnet/internal/status"
)

// TestHandshakesOfNobody: where nobody listens no handshake was tried, and no client's
// connecting would change that.
func TestHandshakesOfNobody(t *testing.T) {
	for state, want := range map[status.ServiceState]string{
		status.ServiceOutage: "nobody listens", status.ServiceStopped: "nobody listens", status.ServiceClosed: "nobody listens",
		status.ServiceListening: "tried none yet", status.ServiceRecovering: "tried none yet",
	} {
		d := &status.Document{Services: []status.Service{{Address: "127.0.0.1:7002", State: state}}}
		list := Handshakes(t.Context(), []*status.Document{d}, nil, fwmark.Mark{})
		if len(list) != 1 || list[0].Level != Warn || !strings.Contains(list[0].Detail, want) {
			t.Errorf("%s: %+v, want %q", state, list, want)
		}
	}
}
