package format

import (
	"encoding/binary"
	"errors"

	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/internal/record"
)

// ConnState is what a State record tells about a connection.
type ConnState struct {
	Meta logserver.Meta
	// Number tells in which order connections were opened.
	Number uint64
	// ReadsFrom is the offset where the first read begins that is still recorded,
	// or the next.
	ReadsFrom int64
	// Fin is where the client's FIN stands; negative unless Meta.Finished says that there is one.
	Fin int64
}

// ErrState is returned for a state that makes no sense.
var ErrState = errors.New("state makes no sense")

// Append adds the payload of a State record to b.
func (s *ConnState) Append(b []byte) []byte {
	b = record.AppendMeta(b, &s.Meta)
	b = binary.AppendUvarint(b, s.Number)
	for _, off := range [...]int64{s.ReadsFrom, s.Fin} {
		b = binary.AppendVarint(b, off)
	}
	return b
}

// ParseState reads the payload of a State record.
func ParseState(b []byte) (*ConnState, error) {
	c := record.NewCursor(b)
	s := &ConnState{Meta: c.Meta(), Number: c.Uvarint(), ReadsFrom: c.Varint(), Fin: c.Varint()}
	if !c.Done() || s.ReadsFrom < 0 || s.Meta.Finished != (s.Fin >= 0) {
		return nil, ErrState
	}
	return s, nil
}
