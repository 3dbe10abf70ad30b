package wire

import (
	"errors"
	"fmt"

	"github.com/ftnet/ftnet/logserver"
	"github.com/ftnet/ftnet/logserver/internal/record"
)

// AppendBytesHeader appends all of a Bytes frame but the n bytes of data.
func AppendBytesHeader(b []byte, flags uint8, req uint32, n int) []byte {
	return be.AppendUint32(AppendHeader(b, TypeBytes, flags, BytesPrefix+n), req)
}

// ParseReq returns the number of the request that an answer is for, and the
// rest of it.
func ParseReq(f Frame) (req uint32, rest []byte, err error) {
	c := newCursor(f)
	if req = c.U32(); c.Bad() {
		return 0, nil, f.Malformed()
	}
	return req, c.Rest(), nil
}

// AppendRuns appends a Runs frame.
func AppendRuns(b []byte, flags uint8, req uint32, runs []logserver.ReadRun) []byte {
	b, at := begin(b, TypeRuns, flags)
	return end(record.AppendRuns(be.AppendUint32(b, req), runs), at)
}

// ParseRuns takes it apart.
func ParseRuns(f Frame) (req uint32, runs []logserver.ReadRun, err error) {
	c := newCursor(f)
	if req, runs = c.U32(), c.Runs(MaxRuns); !c.Done() {
		return 0, nil, f.Malformed()
	}
	return req, runs, nil
}

// MaxIDs is how many numbers an IDs frame holds at most.
const MaxIDs = 4096

// AppendIDs appends an IDs frame.
func AppendIDs(b []byte, flags uint8, req uint32, ids []logserver.ConnID) []byte {
	b, at := begin(b, TypeIDs, flags)
	b = be.AppendUint32(b, req)
	for _, id := range ids {
		b = be.AppendUint64(b, uint64(id))
	}
	return end(b, at)
}

// ParseIDs takes it apart.
func ParseIDs(f Frame) (req uint32, ids []logserver.ConnID, err error) {
	c := newCursor(f)
	req = c.U32()
	for c.More() {
		ids = append(ids, c.id())
	}
	if !c.Done() {
		return 0, nil, f.Malformed()
	}
	return req, ids, nil
}

// AppendDone appends a Done frame.
func AppendDone(b []byte, req uint32) []byte {
	return be.AppendUint32(AppendHeader(b, TypeDone, FlagLast, 4), req)
}

// AppendBlock appends a Block frame.
func AppendBlock(b []byte, req uint32, k Block) []byte {
	b, at := begin(b, TypeBlock, FlagLast)
	return end(appendBlock(be.AppendUint32(b, req), k), at)
}

// ParseBlock takes it apart.
func ParseBlock(f Frame) (req uint32, k Block, err error) {
	c := newCursor(f)
	if req, k = c.U32(), c.block(); !c.Done() {
		return 0, k, f.Malformed()
	}
	return req, k, nil
}

// AppendFenced appends a Fenced frame.
func AppendFenced(b []byte, service string) []byte {
	b, at := begin(b, TypeFenced, 0)
	return end(record.AppendText(b, service), at)
}

// ParseFenced takes it apart.
func ParseFenced(f Frame) (service string, err error) {
	c := newCursor(f)
	if service = c.Text(); !c.Done() {
		return "", f.Malformed()
	}
	return service, nil
}

// Code says what is wrong, in Failure and Error frames.
type Code uint16

// Codes.
const (
	CodeOther         Code = 0
	CodeNoConn        Code = 1
	CodeNotRegistered Code = 2
	CodeExists        Code = 3
	CodeGap           Code = 4
	CodeDiscarded     Code = 5
	CodeInvalid       Code = 6
	CodeQuota         Code = 7
	CodeFenced        Code = 8
	CodeDenied        Code = 9
	CodeFailed        Code = 10
	CodeVersion       Code = 11
	CodeProtocol      Code = 12
	CodeBusy          Code = 13
	CodeClosed        Code = 14
)

// ErrDenied is returned for what the peer's certificate does not allow.
var ErrDenied = errors.New("logserver: the certificate does not allow this service")

// errs are the errors that have a code of their own.
var errs = map[Code]error{
	CodeNoConn: logserver.ErrNoConn, CodeNotRegistered: logserver.ErrNotRegistered, CodeExists: logserver.ErrExists,
	CodeGap: logserver.ErrGap, CodeDiscarded: logserver.ErrDiscarded, CodeInvalid: logserver.ErrInvalid,
	CodeFenced: logserver.ErrFenced, CodeFailed: logserver.ErrFailed, CodeDenied: ErrDenied,
}

// CodeOf returns the code that stands for an error.
func CodeOf(err error) (code Code, limit int64) {
	if q, ok := errors.AsType[*logserver.QuotaError](err); ok {
		return CodeQuota, q.Limit
	}
	for code, known := range errs {
		if errors.Is(err, known) {
			return code, 0
		}
	}
	return CodeOther, 0
}

// AppendFailure appends a Failure frame, which answers a request.
func AppendFailure(b []byte, req uint32, err error) []byte {
	code, limit := CodeOf(err)
	b, at := begin(b, TypeFailure, FlagLast)
	b = be.AppendUint32(b, req)
	b = be.AppendUint16(b, uint16(code))
	b = be.AppendUint64(b, uint64(limit))
	return end(record.AppendText(b, err.Error()), at)
}

// ParseFailure returns what a request has failed with.
func ParseFailure(f Frame) (req uint32, failure, err error) {
	c := newCursor(f)
	req = c.U32()
	code, limit, text := Code(c.U16()), c.Offset(), c.Text()
	if !c.Done() {
		return 0, nil, f.Malformed()
	}
	switch {
	case code == CodeQuota:
		return req, &logserver.QuotaError{Scope: logserver.ScopeTotal, Limit: limit}, nil
	case errs[code] != nil:
		return req, fmt.Errorf("log server: %w", errs[code]), nil
	}
	return req, fmt.Errorf("log server: %s", text), nil
}

// RemoteError is what the server says before it ends the connection.
type RemoteError struct {
	Code Code
	Text string
}

func (e *RemoteError) Error() string { return "log server: " + e.Text }

// AppendError appends an Error frame.
func AppendError(b []byte, code Code, text string) []byte {
	b, at := begin(b, TypeError, FlagLast)
	b = be.AppendUint16(b, uint16(code))
	return end(record.AppendText(b, text), at)
}

// ParseError takes it apart.
func ParseError(f Frame) (*RemoteError, error) {
	c := newCursor(f)
	e := &RemoteError{Code: Code(c.U16()), Text: c.Text()}
	if !c.Done() {
		return nil, f.Malformed()
	}
	return e, nil
}
