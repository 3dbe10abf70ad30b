package rawio

import (
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/internal/lab/testenv"
	"github.com/ftnet/ftnet/rawio/internal/gate"
	"github.com/ftnet/ftnet/rawio/internal/gate/kernel"
)

// linksLab is a network namespace with an interface a, and links on it, which the test has
// do what watch would do. Its thread stays in the namespace.
type linksLab struct {
	*testing.T
	*links
	a    int
	next time.Time        // when links wants to come again
	said map[int][]string // what links has told of interfaces, in order
}

func newLinksLab(t *testing.T, adopted bool) *linksLab {
	t.Helper()
	testenv.RequireRoot(t)
	runtime.LockOSThread()
	origin, err := netns.Get()
	must(t, err)
	own, err := netns.New()
	must(t, err)
	t.Cleanup(func() {
		must(t, netns.Set(origin))
		origin.Close()
		own.Close()
		runtime.UnlockOSThread()
	})
	w := &linksLab{T: t, said: map[int][]string{}}
	w.a = w.add("a", 0)
	g, err := kernel.Load(kernel.Config{ID: "00000001", MaxConns: 4})
	must(t, err)
	t.Cleanup(func() { must(t, g.Close()) })
	const port = 80
	must(t, g.SetService(port, gate.ServiceListen, false))
	w.links, err = openLinks(linksConfig{
		gate: g, log: hclog.NewNullLogger(), adopted: adopted,
		changed: func(news map[int]string) {
			for i, why := range news {
				w.said[i] = append(w.said[i], why)
			}
		},
		catchUp: func() (uint64, error) {
			var events [64]gate.Event
			n, err := g.Events().TryReadBatch(events[:])
			for i := range events[:n] {
				w.proved(&events[i])
			}
			return 0, err
		},
	})
	must(t, err)
	t.Cleanup(w.close)
	w.setPorts([]uint16{port})
	return w
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// add makes an interface and has it up. Its index is free to choose unless it is 0.
func (w *linksLab) add(name string, index int) int {
	w.Helper()
	must(w, netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name, Index: index}, PeerName: name + "-peer"}))
	link, err := netlink.LinkByName(name)
	must(w, err)
	must(w, netlink.LinkSetUp(link))
	return link.Attrs().Index
}

func (w *linksLab) link(index int) netlink.Link {
	return &netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Index: index}}
}

// until has links do what is due until something is so.
func (w *linksLab) until(what string, so func() bool) {
	w.Helper()
	for limit := time.After(20 * time.Second); !so(); {
		select {
		case <-w.news.wake:
		case <-w.wakeup:
		case <-time.After(time.Until(w.next)):
		case <-limit:
			w.Fatalf("waited in vain until %s; told %v", what, w.said)
		}
		w.next = w.step()
	}
}

// guards waits until these are the interfaces that are guarded, and looks whether the gate
// is there.
func (w *linksLab) guards(want ...int) {
	w.Helper()
	slices.Sort(want)
	var list []int
	w.until("what is there is guarded", func() bool {
		list = nil
		for i := range w.attached() {
			if w.has(i) {
				list = append(list, i)
			}
		}
		slices.Sort(list)
		return slices.Equal(list, want)
	})
	for _, i := range want {
		filters, err := netlink.FilterList(w.link(i), netlink.HANDLE_MIN_EGRESS)
		must(w, err)
		if len(filters) == 0 {
			w.Errorf("the gate is not on interface %d", i)
		}
	}
}

func (w *linksLab) wantSaid(want map[int][]string) {
	w.Helper()
	if diff := cmp.Diff(want, w.said); diff != "" {
		w.Errorf("told (-want +got):\n%s", diff)
	}
}

// TestComesUp: an interface that comes up later was passed until the gate was attached, so
// that it is guarded with the first proof. That holds for all that are new to the gate that
// an engine adopts, and for none of those that are there when there is nothing to protect.
func TestComesUp(t *testing.T) {
	t.Run("first engine", func(t *testing.T) {
		w := newLinksLab(t, false)
		w.guards(w.a)
		b := w.add("b", 0)
		w.guards(w.a, b)
		w.wantSaid(map[int][]string{b: {whyNew, ""}})
		must(t, netlink.LinkDel(w.link(b)))
		w.guards(w.a)
		w.add("b", b)
		w.guards(w.a, b)
		w.wantSaid(map[int][]string{b: {whyNew, "", whyNew, ""}})
	})
	t.Run("adopted", func(t *testing.T) {
		w := newLinksLab(t, true)
		w.guards(w.a)
		w.wantSaid(map[int][]string{w.a: {whyNew, ""}})
	})
}

// TestLeavesBridge: what a bridge tells of an interface that has left it is not that the
// interface has gone.
func TestLeavesBridge(t *testing.T) {
	w := newLinksLab(t, false)
	must(t, netlink.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br"}}))
	bridge, err := netlink.LinkByName("br")
	must(t, err)
	must(t, netlink.LinkSetMaster(w.link(w.a), bridge))
	must(t, netlink.LinkSetNoMaster(w.link(w.a)))
	b := w.add("b", 0) // and what was told before it is known then
	w.guards(w.a, b)
	w.wantSaid(map[int][]string{b: {whyNew, ""}})
}

// TestLinkNewsLost: whatever becomes of interfaces while nobody reads what the kernel tells of
// them, and too much is told to be kept, the gate is on those that are there afterwards.
func TestLinkNewsLost(t *testing.T) {
	w := newLinksLab(t, false)
	b, c := w.add("b", 0), w.add("c", 0)
	w.guards(w.a, b, c)

	must(t, unix.SetsockoptInt(w.news.socket.(*nl.NetlinkSocket).GetFd(), unix.SOL_SOCKET, unix.SO_RCVBUF, 1)) // the least that there is
	w.news.mu.Lock()                                                                                           // the reader stands still
	must(t, netlink.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br"}}))
	bridge, err := netlink.LinkByName("br")
	must(t, err)
	for range 100 {
		must(t, netlink.LinkSetUp(bridge))
		must(t, netlink.LinkSetDown(bridge))
	}
	for _, i := range []int{w.a, b} {
		must(t, netlink.LinkDel(w.link(i)))
	}
	a := w.add("a", 0) // with another index
	w.add("b", b)      // with the same one
	w.news.mu.Unlock()
	for lost := false; !lost; {
		<-w.news.wake
		w.news.mu.Lock()
		lost = w.news.lost
		w.news.mu.Unlock()
	}
	ring(w.news.wake)
	w.until("the news are taken", func() bool { return w.attached()[w.a] == "" })
	w.guards(a, b, c)
	if said := w.said[b]; len(said) < 4 || said[len(said)-1] != "" {
		t.Errorf("told of the interface that was made again: %q", said)
	}

	d := w.add("d", 0) // what is told from now on is heard
	w.guards(a, b, c, d)
}
