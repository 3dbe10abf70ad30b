package recovery

import "testing"

// TestAddressList: what means all addresses is written as it was configured.
func TestAddressList(t *testing.T) {
	list, err := parseAddresses([]string{":7000", "127.0.0.1:1", "[::1]:2"})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := addressList(list), ":7000, 127.0.0.1:1, [::1]:2"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
