package ownership_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/ftnet/ftnet/internal/ownership"
	"github.com/ftnet/ftnet/internal/ownership/ownershiptest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var web = ownership.Service{Name: "web", Port: 80}

// TestAllIsLostWithTheFirst: whichever source tells the loss first, one channel tells it, with
// that one's reason; and the claim of the others is still to be released.
func TestAllIsLostWithTheFirst(t *testing.T) {
	for loser := range 2 {
		sources := []*ownershiptest.Fake{{}, {}}
		sources[0].Next = 7
		c, err := ownership.All(sources[0], sources[1]).Claim(t.Context(), web)
		if err != nil {
			t.Fatal(err)
		}
		if c.Epoch() != 8 || c.Err() != nil {
			t.Errorf("epoch %d, %v", c.Epoch(), c.Err())
		}
		sources[loser].Lose(web, "the lease has ended")
		<-c.Lost()
		if !errors.Is(c.Err(), ownership.ErrLost) || !strings.Contains(c.Err().Error(), "the lease has ended") {
			t.Errorf("lost: %v", c.Err())
		}
		if held := sources[1-loser].Held(); !slices.Equal(held, []ownership.Service{web}) {
			t.Errorf("the other source has given up %v", held)
		}
		for range 2 {
			if err := c.Release(); err != nil {
				t.Error(err)
			}
		}
		for i, s := range sources {
			if held := s.Held(); len(held) > 0 {
				t.Errorf("source %d still has %v", i, held)
			}
		}
	}
}

// TestAllOrNothing: where one source refuses, the claims of those before it are given up.
func TestAllOrNothing(t *testing.T) {
	first, second := &ownershiptest.Fake{}, &ownershiptest.Fake{}
	refusal := errors.New("host b has it")
	second.Refuse = map[ownership.Service]error{web: refusal}
	both := ownership.All(first, second)
	if _, err := both.Claim(t.Context(), web); !errors.Is(err, refusal) {
		t.Errorf("claimed: %v", err)
	}
	if held := first.Held(); len(held) > 0 {
		t.Errorf("still held: %v", held)
	}
	second.Refuse = nil
	c, err := both.Claim(t.Context(), web)
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-c.Lost():
		t.Error("lost")
	default:
	}
	if err := c.Release(); err != nil || c.Err() != nil {
		t.Errorf("released: %v, lost: %v", err, c.Err())
	}
	select {
	case <-c.Lost():
		t.Error("lost by Release")
	default:
	}
}
