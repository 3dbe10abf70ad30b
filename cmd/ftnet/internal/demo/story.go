package demo

import "time"

// binWidth is the resolution of the picture.
const binWidth = 50 * time.Millisecond

// slow is a wait that a person might notice in the picture.
const slow = 10 * time.Millisecond

// Story is everything that has happened: what the view draws and the table
// sums up. It has no clock; times are since the start of the show.
type Story struct {
	Length  time.Duration // of the show
	Elapsed time.Duration
	Kills   []time.Duration
	Serving []time.Duration // moments at which a server began to serve
	PID     int             // of the server that serves; 0 in an outage
	Latest  Report
	rows    []row // of the clients, then of the visitors
}

type row struct {
	bins   []bin
	total  uint64 // replies
	errors int
}

type bin struct {
	replies uint64
	waited  time.Duration // the longest wait that was seen in it
	errors  int
}

// Report takes the clients' report of that moment.
func (s *Story) Report(at time.Duration, r Report) {
	s.Elapsed, s.Latest = at, r
	all := append(r.Clients[:len(r.Clients):len(r.Clients)], r.Visitors)
	if s.rows == nil {
		s.rows = make([]row, len(all))
	}
	for i, c := range all[:min(len(all), len(s.rows))] {
		s.rows[i].add(at, c)
	}
}

func (r *row) add(at time.Duration, c ClientReport) {
	i := int(at / binWidth)
	for len(r.bins) <= i {
		r.bins = append(r.bins, bin{})
	}
	b := &r.bins[i]
	b.replies += c.Replies - min(c.Replies, r.total)
	b.errors += c.Errors - min(c.Errors, r.errors)
	r.total, r.errors = c.Replies, c.Errors
	b.waited = max(b.waited, c.Waited)
}

// Killed says that the server was killed.
func (s *Story) Killed(at time.Duration) {
	s.Kills = append(s.Kills, at)
	s.PID = 0
}

// Served says that a server listens.
func (s *Story) Served(at time.Duration, pid int) {
	s.Serving = append(s.Serving, at)
	s.PID = pid
}

// Result sums the story up.
type Result struct {
	Kills, Starts int
	Connections   int
	Visitors      int // of Connections
	Replies       uint64
	Bytes         uint64
	Errors        int
	LastError     string
	Longest       time.Duration
	Took          time.Duration
}

// Result of what has happened so far.
func (s *Story) Result() Result {
	r := Result{Kills: len(s.Kills), Starts: len(s.Serving), Took: s.Elapsed, Visitors: s.Latest.Visitors.Connections}
	add := func(c ClientReport) {
		r.Connections += c.Connections
		r.Replies += c.Replies
		r.Bytes += c.Bytes
		r.Errors += c.Errors
		r.Longest = max(r.Longest, c.Longest)
		if c.LastError != "" {
			r.LastError = c.LastError
		}
	}
	for _, c := range s.Latest.Clients {
		add(c)
	}
	add(s.Latest.Visitors)
	return r
}
