package admin

import (
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

func TestReadRequest(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		want     Request
		code     Code // of the error; "" and a zero want: any other error
		says     string
	}{
		{"reload", `{"version":1,"command":"reload"}` + "\n", Request{Version: 1, Command: Reload}, "", ""},
		{"logs", `{"version":1,"command":"logs","service":"a","lines":-1,"follow":true}` + "\n",
			Request{Version: 1, Command: Logs, Service: "a", Lines: -1, Follow: true}, "", ""},
		{"another version", `{"version":2,"command":{"what":"ever"}}` + "\n", Request{}, CodeVersion, "protocol has version 1, not 2"},
		{"no version", `{"command":"reload"}` + "\n", Request{}, CodeVersion, "not 0"},
		{"unknown command", `{"version":1,"command":"dance"}` + "\n", Request{}, CodeRequest, `unknown command "dance"`},
		{"unknown field", `{"version":1,"command":"reload","force":true}` + "\n", Request{}, CodeRequest, "force"},
		{"no service", `{"version":1,"command":"stop"}` + "\n", Request{}, CodeRequest, "no service named"},
		{"lines", `{"version":1,"command":"logs","service":"a","lines":-2}` + "\n", Request{}, CodeRequest, "-2 lines"},
		{"no JSON", "reload\n", Request{}, CodeRequest, "not JSON"},
		{"two", `{"version":1,"command":"reload"}` + "\n{", Request{}, CodeRequest, "more than one"},
		{"too long", strings.Repeat(" ", maxRequest) + "\n", Request{}, CodeRequest, "more than 4096 bytes"},
		{"cut off", `{"version":1,`, Request{}, "", "unexpected EOF"},
		{"empty", "", Request{}, "", "unexpected EOF"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := readRequest(strings.NewReader(tt.in))
			if tt.says == "" {
				if diff := cmp.Diff(tt.want, got); diff != "" || err != nil {
					t.Error(err, diff)
				}
				return
			}
			var e *Error
			if err == nil || errors.As(err, &e) != (tt.code != "") || e != nil && e.Code != tt.code || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("%v, want %s %q", err, tt.code, tt.says)
			}
		})
	}
	t.Run("byte by byte", func(t *testing.T) {
		in := strings.Repeat(" ", maxRequest-34) + `{"version":1,"command":"reload"}` + "\n"
		if got, err := readRequest(iotest.OneByteReader(strings.NewReader(in))); err != nil || got.Command != Reload {
			t.Error(got, err)
		}
	})
	t.Run("reading fails", func(t *testing.T) {
		if _, err := readRequest(iotest.ErrReader(io.ErrClosedPipe)); !errors.Is(err, io.ErrClosedPipe) {
			t.Error(err)
		}
	})
}

// FuzzRequest: a request that is accepted obeys the rules and means the same when it is
// written again.
func FuzzRequest(f *testing.F) {
	f.Add([]byte(`{"version":1,"command":"reload"}` + "\n"))
	f.Add([]byte(`{"version":1,"command":"logs","service":"a","lines":-1,"follow":true}` + "\n"))
	f.Add([]byte(`{"version":1,"command":"stop","service":"\u0000"}` + "\n"))
	f.Add([]byte("{\n}"))
	f.Fuzz(func(t *testing.T, in []byte) {
		r, err := readRequest(strings.NewReader(string(in)))
		if err != nil {
			return
		}
		if len(in) > maxRequest || r.Version != Version || r.Command != Reload && r.Service == "" || r.Lines < -1 {
			t.Errorf("accepted: %+v", r)
		}
		out, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		again, err := readRequest(strings.NewReader(string(out) + "\n"))
		if len(out) < maxRequest && (err != nil || again != r) {
			t.Errorf("%+v, written and read again: %+v, %v", r, again, err)
		}
	})
}
