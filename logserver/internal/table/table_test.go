package table

import (
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/ftnet/ftnet/logserver"
)

type conn struct{ id logserver.ConnID }

// TestTable compares random calls with a slice.
func TestTable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var table Table[*conn]
		var want []*conn
		next := logserver.ConnID(1)
		for range rapid.IntRange(1, 400).Draw(t, "steps") {
			switch {
			case len(want) == 0 || rapid.IntRange(0, 2).Draw(t, "kind") == 0:
				c := &conn{next}
				next++
				if !table.Add(c.id, c) || table.Add(c.id, c) {
					t.Fatal("Add")
				}
				want = append(want, c)
			default:
				i := rapid.IntRange(0, len(want)-1).Draw(t, "which")
				c := want[i]
				want = slices.Delete(want, i, i+1)
				if rapid.Bool().Draw(t, "again") {
					table.TakeBack(c.id)
					table.Add(c.id, c)
					want = append(want, c)
				} else {
					table.Remove(c.id)
				}
				if got := table.Get(c.id); (got != nil) != slices.Contains(want, c) {
					t.Fatalf("Get returns %v", got)
				}
			}
			if rapid.IntRange(0, 9).Draw(t, "look") > 0 {
				continue // so that removed ones gather
			}
			if got := table.All(); !slices.Equal(got, want) || table.Len() != len(want) {
				t.Fatalf("%d connections, want %d, or others", len(got), len(want))
			}
			first, n := rapid.IntRange(0, 50).Draw(t, "first"), rapid.IntRange(0, 50).Draw(t, "n")
			page, err := table.Page(first, n)
			from := min(first, len(want))
			if err != nil || !slices.Equal(page, want[from:min(from+n, len(want))]) {
				t.Fatalf("Page(%d, %d) of %d returns %d, %v", first, n, len(want), len(page), err)
			}
		}
	})
	var none Table[*conn]
	if _, err := none.Page(0, -1); !errors.Is(err, logserver.ErrInvalid) {
		t.Errorf("Page of -1 connections: %v", err)
	}
}

func TestNumbers(t *testing.T) {
	var n Numbers
	n.Note(3<<32 | 7)
	n.Note(1<<32 | 9)
	for id, want := range map[logserver.ConnID]error{
		3<<32 | 7: logserver.ErrExists, 3<<32 | 1: logserver.ErrExists, 3<<32 | 8: nil, 1<<32 | 9: logserver.ErrExists, 2<<32 | 1: nil,
	} {
		if err := n.Check(id); !errors.Is(err, want) {
			t.Errorf("%x: %v, want %v", uint64(id), err, want)
		}
	}
	if h := n.Highest(); h != 3<<32|7 {
		t.Errorf("highest is %x", uint64(h))
	}
}

// TestInfo: what was set last is returned, as far as it is the caller's.
func TestInfo(t *testing.T) {
	var i Info
	want := logserver.Meta{
		Tag: 1, Service: "x", Flow: logserver.Flow{Client: netip.MustParseAddrPort("192.0.2.1:1"), Server: netip.MustParseAddrPort("192.0.2.2:2")},
		Handshake: []byte{1, 2}, Output: logserver.Output{Acked: 7},
	}
	i.Begin()
	for _, output := range []logserver.Output{{Acked: 7}, {Acked: 8, Closed: true}, {}, {End: 9}} {
		want.Output, want.Handshake = output, append(want.Handshake, 1)
		i.Set(&want)
		got := i.Meta(5, true)
		if got.ID != 5 || !got.Finished || !got.Created.Equal(got.Modified) || time.Since(got.Created) > time.Minute {
			t.Errorf("%+v", got)
		}
		got.ID, got.Finished, got.Created, got.Modified = 0, false, time.Time{}, time.Time{}
		if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	if !i.Has(want.Client) || !i.Has(want.Server) || i.Has(netip.MustParseAddrPort("192.0.2.2:1")) {
		t.Error("Has")
	}
}

// TestStatus: each change is told once, and LowSpace ends below where it began.
func TestStatus(t *testing.T) {
	var s Status
	var told []logserver.Status
	s.SetUpcall(func(now logserver.Status) { told = append(told, now) })
	for _, used := range []int64{0, 1599, 1600, 1599, 1501, 1600, 1499, 1499} {
		s.Occupied(used, 1600)
	}
	s.Set(logserver.Other)
	s.Tell()
	s.Tell()
	s.Close()
	if want := []logserver.Status{logserver.LowSpace, logserver.OK, logserver.Other, logserver.Failed}; !slices.Equal(told, want) {
		t.Errorf("told %v, want %v", told, want)
	}
}
