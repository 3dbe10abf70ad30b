package wire

import (
	"bytes"
	"errors"
	"io"
	"net/netip"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ftnet/ftnet/logserver"
)

var byAddr = cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })

func exampleMeta() logserver.Meta {
	return logserver.Meta{
		ID: 7<<32 | 5, Tag: 9, Service: "counter",
		Flow: logserver.Flow{
			Client: netip.MustParseAddrPort("[fe80::1%eth0]:4000"),
			Server: netip.MustParseAddrPort("192.0.2.1:7000"),
		},
		Handshake: []byte{1, 0, 0xff},
		Output:    logserver.Output{Acked: 5, Closed: true, End: 1 << 41},
		Base:      logserver.Base{In: 6, Out: 1 << 40, State: []byte("state")},
	}
}

// clientFrames is one frame of each type that a client sends.
func clientFrames() [][]byte {
	meta := exampleMeta()
	data := append(AppendDataHeader(nil, FlagRetry, 5, 1000, 5), "hello"...)
	frames := [][]byte{
		AppendHello(nil, Hello{Min: 1, Max: 3, Silence: 5 * time.Second, Blocks: []Block{{Number: 8}, {Number: 9, Token: [16]byte{1}}}, Services: []string{"a", "b"}}),
		AppendOpen(nil, TypeOpen, 0, 77, &meta), AppendOpen(nil, TypeUpdate, 0, 78, &meta), AppendOpen(nil, TypeCreate, 0, 1, &meta),
		data,
		AppendReads(nil, 0, Reads{ID: 5, At: 100, Runs: []logserver.ReadRun{{Length: 10, Count: 3}, {Length: 1 << 31, Count: 1}}}),
		AppendFinish(nil, 5, 1000), AppendRebase(nil, 5, &logserver.Base{In: 500, Out: 1 << 40}),
		AppendRebase(nil, 5, &logserver.Base{State: []byte("state")}),
		AppendDelete(nil, 5),
		AppendRegister(nil, 80), AppendHeader(nil, TypeAlive, 0, 0),
	}
	for _, r := range []Request{
		{Type: TypeRead, Req: 1, ID: 5, First: 10, N: 1 << 40}, {Type: TypeGetReads, Req: 2, ID: 5},
		{Type: TypeActive, Req: 3, First: 10, N: 100},
		{Type: TypeGetMeta, Req: 5, ID: 5}, {Type: TypeExpire, Req: 6, Before: -1},
		{Type: TypeSync, Req: 7}, {Type: TypeGetBlock, Req: 8},
	} {
		frames = append(frames, AppendRequest(nil, r))
	}
	return frames
}

// serverFrames is one frame of each type that a server sends.
func serverFrames() [][]byte {
	state := State{ID: 5, Start: 1, Out: 1 << 40, Stable: 3, Taken: 4, ReadEnd: 2, Limit: 1 << 20, Meta: 77, Flags: StateFin | StateRefused}
	listed := Listed{Meta: exampleMeta(), State: state}
	listed.Meta.Finished, listed.Meta.Created, listed.Meta.Modified = true, time.Unix(5, 6), time.Unix(7, 8)
	metas, at := begin(nil, TypeMetas, FlagLast)
	metas = end(AppendListed(AppendListed(be.AppendUint32(metas, 3), &listed), &listed), at)
	return [][]byte{
		AppendWelcome(nil, Welcome{Version: Version, Resumed: true, Silence: time.Second, Block: Block{Number: 9}, Run: 12345}),
		Append(nil, TypeStates, 0, AppendState(AppendState(nil, state), state)),
		AppendHeader(nil, TypeReady, 0, 0),
		AppendStatus(nil, Status{logserver.LowSpace, 100, 200}),
		AppendFenced(nil, "counter"), AppendError(nil, CodeVersion, "no"),
		append(AppendBytesHeader(nil, FlagLast, 1, 5), "hello"...),
		AppendRuns(nil, FlagLast, 2, []logserver.ReadRun{{Length: 1, Count: 1}}),
		metas, AppendIDs(nil, 0, 6, []logserver.ConnID{1, 2}), AppendDone(nil, 7),
		AppendBlock(nil, 8, Block{Number: 10}),
		AppendFailure(nil, 9, &logserver.QuotaError{Scope: logserver.ScopeTotal, Limit: 5}),
		AppendFailure(nil, 9, logserver.ErrNoConn), AppendFailure(nil, 9, errors.New("else")),
		AppendHeader(nil, TypeAlive, 0, 0),
	}
}

// TestRoundTrip: what is decoded is encoded to the same bytes.
func TestRoundTrip(t *testing.T) {
	for side, frames := range map[string][][]byte{"client": clientFrames(), "server": serverFrames()} {
		for _, b := range frames {
			f := frame(t, b)
			again, err := reencode(f)
			if err != nil {
				t.Errorf("%s, type %#02x: %v", side, f.Type, err)
			} else if !bytes.Equal(again, b) {
				t.Errorf("%s, type %#02x:\n%x decoded and encoded again is\n%x", side, f.Type, b, again)
			}
			if len(f.Payload) == 0 || f.Type == TypeBytes {
				continue
			}
			f.Payload = f.Payload[:len(f.Payload)-1]
			if _, err := reencode(f); err == nil && f.Type != TypeData && f.Type != TypeRebase {
				t.Errorf("%s, type %#02x: a byte less is accepted", side, f.Type)
			}
		}
	}
}

func TestMeta(t *testing.T) {
	want := exampleMeta()
	o, err := ParseOpen(frame(t, AppendOpen(nil, TypeOpen, 0, 5, &want)))
	if err != nil || o.Gen != 5 {
		t.Fatal(o.Gen, err)
	}
	if diff := cmp.Diff(want, o.Meta, byAddr); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestFailures(t *testing.T) {
	for _, want := range []error{
		logserver.ErrNoConn, logserver.ErrNotRegistered, logserver.ErrExists, logserver.ErrGap, logserver.ErrDiscarded,
		logserver.ErrInvalid, logserver.ErrFenced, logserver.ErrFailed, ErrDenied, logserver.ErrQuota,
	} {
		told := want
		if want == logserver.ErrQuota {
			told = &logserver.QuotaError{Scope: logserver.ScopeTotal, Limit: 5}
		}
		_, got, err := ParseFailure(frame(t, AppendFailure(nil, 1, told)))
		if err != nil || !errors.Is(got, want) {
			t.Errorf("%v became %v, %v", want, got, err)
		}
	}
}

func TestVersions(t *testing.T) {
	_, err := ParseHello(frame(t, AppendHello(nil, Hello{Min: Version + 1, Max: Version + 2})))
	if v, ok := errors.AsType[*VersionError](err); !ok || v.Min != Version+1 {
		t.Error(err)
	}
	_, err = ParseWelcome(frame(t, AppendWelcome(nil, Welcome{Version: Version + 1})))
	if _, ok := errors.AsType[*VersionError](err); !ok {
		t.Error(err)
	}
}

// TestReader cuts a stream that comes byte by byte.
func TestReader(t *testing.T) {
	big := make([]byte, MaxPayload-DataPrefix)
	var stream []byte
	frames := append(clientFrames(), append(AppendDataHeader(nil, 0, 1, 1, len(big)), big...))
	for range 3 {
		for _, b := range frames {
			stream = append(stream, b...)
		}
	}
	for name, src := range map[string]io.Reader{
		"whole": bytes.NewReader(stream), "halves": iotest.HalfReader(bytes.NewReader(stream)),
		"with EOF": iotest.DataErrReader(bytes.NewReader(stream)),
	} {
		r := NewReader(src)
		r.Grow(0)
		for i := range 3 * len(frames) {
			f, err := r.Next()
			if err != nil {
				t.Fatalf("%s, frame %d: %v", name, i, err)
			}
			if got := Append(nil, f.Type, f.Flags, f.Payload); !bytes.Equal(got, frames[i%len(frames)]) {
				t.Fatalf("%s: frame %d is another one", name, i)
			}
		}
		if _, err := r.Next(); err != io.EOF {
			t.Errorf("%s: %v at the end", name, err)
		}
	}
	for cut := 1; cut < len(frames[0]); cut++ {
		if _, err := NewReader(bytes.NewReader(frames[0][:cut])).Next(); err != io.ErrUnexpectedEOF {
			t.Errorf("cut after %d bytes: %v", cut, err)
		}
	}
}

// TestReaderBounds: before it is trusted a peer gets little memory.
func TestReaderBounds(t *testing.T) {
	for _, grown := range []bool{false, true} {
		r, most := NewReader(bytes.NewReader(AppendHeader(nil, TypeData, 0, MaxPayload+1))), MaxPayload
		if grown {
			r.Grow(0)
		} else {
			r, most = NewReader(bytes.NewReader(AppendHeader(nil, TypeData, 0, MaxHello+1))), MaxHello
		}
		if _, err := r.Next(); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%v with a frame of %d bytes", err, most+1)
		}
		if len(r.buf) > HeaderSize+most {
			t.Errorf("%d bytes of memory", len(r.buf))
		}
	}
}

func frame(t testing.TB, b []byte) Frame {
	t.Helper()
	f, n, err := ParseHeader(b, MaxPayload)
	if err != nil || n != len(b)-HeaderSize {
		t.Fatalf("header of %x: %d, %v", b, n, err)
	}
	f.Payload = b[HeaderSize:]
	return f
}
