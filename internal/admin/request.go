package admin

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Version of the protocol.
const Version = 1

// SocketName is the socket's name in the engine's directory.
const SocketName = "admin.sock"

// maxRequest bounds a request, newline included, in bytes.
const maxRequest = 4096

// Command is what is to be done.
type Command string

const (
	Reload  Command = "reload"  // read the configuration file again and apply what has changed
	Restart Command = "restart" // end a service's process and start it through recovery
	Stop    Command = "stop"    // stop a service; its connections end
	Start   Command = "start"   // start a service that was stopped or has ended
	Logs    Command = "logs"    // show a service's output
)

// Request is what a client asks for.
type Request struct {
	Version int     `json:"version"`
	Command Command `json:"command"`
	Service string  `json:"service,omitempty"` // all but reload need it
	Lines   int     `json:"lines,omitempty"`   // logs: the newest so many; -1: all that are kept
	Follow  bool    `json:"follow,omitempty"`  // logs: and what comes, until the client goes
}

// readRequest reads one request. What is wrong with it is an *Error.
func readRequest(r io.Reader) (Request, error) {
	line, err := readLine(r)
	if err != nil {
		return Request{}, err
	}
	// First the version: what follows it may be of another make.
	var v struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(line, &v); err != nil {
		return Request{}, &Error{Code: CodeRequest, Message: "the request is not JSON: " + err.Error()}
	}
	if v.Version != Version {
		return Request{}, &Error{Code: CodeVersion, Message: fmt.Sprintf(
			"the daemon's protocol has version %d, not %d: use the ftnet program that it was started from", Version, v.Version)}
	}
	var req Request
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&req); err != nil {
		return Request{}, &Error{Code: CodeRequest, Message: err.Error()}
	}
	return req, req.check()
}

// readLine reads through the first newline and not more than maxRequest bytes.
func readLine(r io.Reader) ([]byte, error) {
	buf := make([]byte, 0, 512)
	for {
		if i := bytes.IndexByte(buf, '\n'); i >= 0 {
			if len(buf) > i+1 {
				return nil, &Error{Code: CodeRequest, Message: "more than one request"}
			}
			return buf[:i], nil
		}
		if len(buf) == maxRequest {
			return nil, &Error{Code: CodeRequest, Message: fmt.Sprintf("a request of more than %d bytes", maxRequest)}
		}
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		n, err := r.Read(buf[len(buf):min(cap(buf), maxRequest)])
		buf = buf[:len(buf)+n]
		if n == 0 && err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
}

func (r *Request) check() error {
	switch r.Command {
	case Reload:
	case Restart, Stop, Start, Logs:
		if r.Service == "" {
			return &Error{Code: CodeRequest, Message: string(r.Command) + ": no service named"}
		}
	default:
		return &Error{Code: CodeRequest, Message: fmt.Sprintf("unknown command %q", r.Command)}
	}
	if r.Lines < -1 {
		return &Error{Code: CodeRequest, Message: fmt.Sprintf("%d lines", r.Lines)}
	}
	return nil
}
