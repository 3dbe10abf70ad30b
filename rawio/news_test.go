package rawio

import (
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// TestNews: what the kernel says is told, and that something was lost; what others say is not. After
// close nothing is told, and nothing is left.
func TestNews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		socket := newFakeNews()
		var heard []int // messages; -1: some were lost
		n := readNews(socket, func(messages []syscall.NetlinkMessage) {
			if messages == nil {
				heard = append(heard, -1)
			} else {
				heard = append(heard, len(messages))
			}
		})
		list := make([]syscall.NetlinkMessage, 3)
		for _, said := range []told{
			{messages: list[:2]}, {messages: list[:1], from: 4711}, {err: unix.ENOBUFS}, {messages: list},
		} {
			socket.told <- said
		}
		synctest.Wait()
		if diff := cmp.Diff([]int{2, -1, 3}, heard); diff != "" {
			t.Errorf("heard (-want +got):\n%s", diff)
		}
		heard = nil
		n.close()
		if synctest.Wait(); len(heard) > 0 || !socket.closed() {
			t.Errorf("after close it is told %v; closed: %v", heard, socket.closed())
		}
	})
}

// TestNewsCloseWaits: when close returns nobody is being told anything any more.
func TestNewsCloseWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		socket, busy := newFakeNews(), make(chan struct{})
		n := readNews(socket, func([]syscall.NetlinkMessage) { <-busy })
		socket.told <- told{err: unix.ENOBUFS}
		closed := make(chan struct{})
		go func() {
			defer close(closed)
			n.close()
		}()
		if synctest.Wait(); isClosed(closed) {
			t.Error("close returns while somebody is told of news")
		}
		close(busy)
		<-closed
	})
}

// TestLinkNews: what has changed at interfaces is kept until it is taken, however often it has changed,
// and that news were lost.
func TestLinkNews(t *testing.T) {
	n := &linkNews{wake: make(chan struct{}, 1), all: map[int]linkChange{}}
	message := func(kind uint16, family byte, index byte) syscall.NetlinkMessage {
		return syscall.NetlinkMessage{Header: syscall.NlMsghdr{Type: kind}, Data: []byte{family, 0, 0, 0, index, 0, 0, 0}}
	}
	want := func(what string, want map[int]linkChange, wantLost bool) {
		t.Helper()
		<-n.wake
		all, lost := n.take()
		if diff := cmp.Diff(want, all, cmp.AllowUnexported(linkChange{})); diff != "" || lost != wantLost {
			t.Errorf("%s: lost %v, (-want +got):\n%s", what, lost, diff)
		}
	}
	n.note([]syscall.NetlinkMessage{
		message(unix.RTM_NEWLINK, unix.AF_UNSPEC, 1), message(unix.RTM_DELLINK, unix.AF_UNSPEC, 2), message(unix.RTM_DELLINK, unix.AF_BRIDGE, 3),
	})
	n.note([]syscall.NetlinkMessage{message(unix.RTM_NEWQDISC, 0, 1), message(unix.RTM_NEWLINK, unix.AF_UNSPEC, 2), {Data: make([]byte, 7)}})
	want("some", map[int]linkChange{1: {tc: true}, 2: {gone: true}, 3: {}}, false)
	n.note(nil)
	n.note([]syscall.NetlinkMessage{message(unix.RTM_DELTFILTER, 0, 4)})
	want("lost", map[int]linkChange{4: {tc: true}}, true)
	n.note(nil)
	want("lost again", map[int]linkChange{}, true)
	if all, lost := n.take(); len(all) > 0 || lost {
		t.Errorf("taken twice: %v, %v", all, lost)
	}
}
