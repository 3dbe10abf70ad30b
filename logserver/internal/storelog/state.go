package storelog

import (
	"encoding/binary"
	"errors"

	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/internal/record"
)

// connState is what a State record tells about a connection.
type connState struct {
	Meta logserver.Meta
	// Number tells in which order connections were opened.
	Number uint64
	// ReadsFrom is the offset where the first read begins that is still recorded,
	// or the next.
	ReadsFrom int64
	// Fin is where the client's FIN stands; negative unless Meta.Finished says that there is one.
	Fin int64
}

// errState is returned for a state that makes no sense.
var errState = errors.New("state makes no sense")

// append adds the payload of a State record to b.
func (s *connState) append(b []byte) []byte {
	b = record.AppendMeta(b, &s.Meta)
	b = binary.AppendUvarint(b, s.Number)
	for _, off := range [...]int64{s.ReadsFrom, s.Fin} {
		b = binary.AppendVarint(b, off)
	}
	return b
}

// parseState reads the payload of a State record.
func parseState(b []byte) (*connState, error) {
	c := record.NewCursor(b)
	s := &connState{Meta: c.Meta(), Number: c.Uvarint(), ReadsFrom: c.Varint(), Fin: c.Varint()}
	if !c.Done() || s.ReadsFrom < 0 || s.Meta.Finished != (s.Fin >= 0) {
		return nil, errState
	}
	return s, nil
}
