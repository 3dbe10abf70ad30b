package recovery

import (
	"testing"

	"github.com/ftnet/ftnet/recovery/config"
)

// TestAddressList: what means all addresses is written as it was configured.
func TestAddressList(t *testing.T) {
	list := (&config.Service{Listen: []string{":7000", "127.0.0.1:1", "[::1]:2"}}).Addresses()
	if got, want := addressList(list), ":7000, 127.0.0.1:1, [::1]:2"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
