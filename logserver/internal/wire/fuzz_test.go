package wire

import (
	"bytes"
	"errors"
	"testing"
)

// reencode decodes a frame and encodes what it says.
func reencode(f Frame) ([]byte, error) {
	switch f.Type {
	case TypeHello:
		h, err := ParseHello(f)
		return AppendHello(nil, h), err
	case TypeOpen, TypeUpdate, TypeCreate:
		o, err := ParseOpen(f)
		return AppendOpen(nil, f.Type, f.Flags, o.Gen, &o.Meta), err
	case TypeData:
		id, off, p, err := ParseData(f)
		return append(AppendDataHeader(nil, f.Flags, id, off, len(p)), p...), err
	case TypeReads:
		r, err := ParseReads(f)
		return AppendReads(nil, f.Flags, r), err
	case TypeFinish:
		id, off, err := ParseFinish(f)
		return AppendFinish(nil, id, off), err
	case TypeRebase:
		id, base, err := ParseRebase(f)
		return AppendRebase(nil, id, &base), err
	case TypeDelete:
		id, err := ParseDelete(f)
		return AppendDelete(nil, id), err
	case TypeRegister:
		port, err := ParseRegister(f)
		return AppendRegister(nil, port), err
	case TypeAlive, TypeReady:
		return Append(nil, f.Type, f.Flags, f.Payload), nil
	case TypeWelcome:
		w, err := ParseWelcome(f)
		return AppendWelcome(nil, w), err
	case TypeStates:
		list, err := ParseStates(f, nil)
		var b []byte
		for _, s := range list {
			b = AppendState(b, s)
		}
		return Append(nil, f.Type, f.Flags, b), err
	case TypeStatus:
		s, err := ParseStatus(f)
		return AppendStatus(nil, s), err
	case TypeFenced:
		s, err := ParseFenced(f)
		return AppendFenced(nil, s), err
	case TypeError:
		e, err := ParseError(f)
		if err != nil {
			return nil, err
		}
		return AppendError(nil, e.Code, e.Text), nil
	case TypeBytes, TypeDone:
		_, _, err := ParseReq(f)
		return Append(nil, f.Type, f.Flags, f.Payload), err
	case TypeRuns:
		req, runs, err := ParseRuns(f)
		return AppendRuns(nil, f.Flags, req, runs), err
	case TypeMetas:
		req, list, err := ParseMetas(f)
		b := be.AppendUint32(nil, req)
		for i := range list {
			b = AppendListed(b, &list[i])
		}
		return Append(nil, f.Type, f.Flags, b), err
	case TypeIDs:
		req, ids, err := ParseIDs(f)
		return AppendIDs(nil, f.Flags, req, ids), err
	case TypeBlock:
		req, k, err := ParseBlock(f)
		return AppendBlock(nil, req, k), err
	case TypeFailure:
		_, _, err := ParseFailure(f)
		return Append(nil, f.Type, f.Flags, f.Payload), err
	}
	r, err := ParseRequest(f)
	return AppendRequest(nil, r), err
}

// FuzzClientFrames is the server's decoder: streams of what clients send.
func FuzzClientFrames(f *testing.F) { fuzz(f, clientFrames(), func(t Type) bool { return t < 0x80 }) }

// FuzzServerFrames is the client's decoder.
func FuzzServerFrames(f *testing.F) { fuzz(f, serverFrames(), func(t Type) bool { return t >= 0x80 }) }

func fuzz(f *testing.F, frames [][]byte, mine func(Type) bool) {
	var all []byte
	for _, b := range frames {
		f.Add(b)
		all = append(all, b...)
	}
	f.Add(all)
	f.Fuzz(func(t *testing.T, stream []byte) {
		r := NewReader(bytes.NewReader(stream))
		r.Grow(0)
		for {
			f, err := r.Next()
			if err != nil {
				return
			}
			if !mine(f.Type) {
				continue
			}
			again, err := reencode(f)
			if err != nil {
				_, version := errors.AsType[*VersionError](err)
				if !version && !errors.Is(err, ErrMalformed) {
					t.Fatal(err)
				}
				continue
			}
			g := frame(t, again)
			if !bytes.Equal(g.Payload, f.Payload) {
				t.Fatalf("type %#02x: %x became %x", f.Type, f.Payload, g.Payload)
			}
		}
	})
}
