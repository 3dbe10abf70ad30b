package status

import "time"

// LogServer is what a log server tells about itself.
type LogServer struct {
	Listen      []string     `json:"listen"`
	Store       Log          `json:"store"` // where the log is; Pending is what its device has not taken yet, if that is known
	Connections int          `json:"connections"`
	Sessions    []LogSession `json:"sessions"`    // engines that are connected
	Accepted    uint64       `json:"accepted"`    // sessions since the start
	Refused     uint64       `json:"refused"`     // peers that were sent away: no certificate, a wrong one, too many
	Fenced      uint64       `json:"fenced"`      // sessions that lost a service to a newer one
	BytesIn     uint64       `json:"bytes_in"`    // client bytes that engines have sent
	Upcall      Latency      `json:"upcall"`      // from a write until its bytes are stable, in the store
	Certificate time.Time    `json:"certificate"` // until when the server's is valid
}

// LogSession is an engine that is connected to a log server.
type LogSession struct {
	Peer        string    `json:"peer"`     // its address
	Name        string    `json:"name"`     // in its certificate
	Services    []string  `json:"services"` // that it may use; "*" is all
	Since       time.Time `json:"since"`
	Connections int       `json:"connections"`
	BytesIn     uint64    `json:"bytes_in"` // client bytes
	Pending     uint64    `json:"pending"`  // of them not yet stable
}

// Latency of the newest events, in seconds.
type Latency struct {
	Samples int     `json:"samples"`
	P50     float64 `json:"p50"`
	P99     float64 `json:"p99"`
}
