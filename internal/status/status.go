// Package status defines what an engine tells about itself: one JSON document
// per connection to its status socket. The schema only grows; fields keep
// their names and units. Byte counts are bytes, times RFC 3339, durations
// seconds.
package status

import (
	"time"

	"github.com/ftnet/ftnet/internal/policy"
)

// Version of the schema. Since 2 an engine may have several programs; what there
// was for the only one (Engine.Command, Process, and the quota and policy of
// Log) is empty then.
const Version = 2

// Document is everything about one engine at one moment.
type Document struct {
	Version     int          `json:"version"`
	Time        time.Time    `json:"time"`
	Engine      Engine       `json:"engine"`
	Process     Process      `json:"process"`  // of the only program
	Programs    []Program    `json:"programs"` // by name
	Services    []Service    `json:"services"` // their ports
	Connections []Connection `json:"connections"`
	Log         Log          `json:"log"`
	Tap         Tap          `json:"tap"`
	Gate        Gate         `json:"gate"`
	Memory      Memory       `json:"memory"`
	// LogServer is there if this is no engine but a log server; then Engine
	// identifies it and Memory is its own, and all else is empty.
	LogServer *LogServer `json:"log_server,omitempty"`
}

// Engine identifies it.
type Engine struct {
	ID         string    `json:"id"` // 8 hex digits, the name of its runtime directory
	Name       string    `json:"name,omitempty"`
	Version    string    `json:"version"`
	PID        int       `json:"pid"`
	Started    time.Time `json:"started"`
	Command    []string  `json:"command"` // of the only program
	Interfaces []string  `json:"interfaces"`
	LostLines  uint64    `json:"lost_lines,omitempty"` // of its own log, that could not be written
}

// ProcessState is that of the supervised process.
type ProcessState string

const (
	ProcessStarting   ProcessState = "starting"   // runs, does not listen yet
	ProcessRunning    ProcessState = "running"    // has begun to listen
	ProcessRestarting ProcessState = "restarting" // waits for its next start
	ProcessStopping   ProcessState = "stopping"   // asked to end
	ProcessStopped    ProcessState = "stopped"    // on request; can be started again
	ProcessEnded      ProcessState = "ended"
)

// Process is the supervised process.
type Process struct {
	State    ProcessState `json:"state"`
	PID      int          `json:"pid,omitempty"`
	Since    time.Time    `json:"since"` // in this state
	Restarts uint64       `json:"restarts"`
	LastExit string       `json:"last_exit,omitempty"`
}

// Program is one supervised server: a service of the configuration.
type Program struct {
	Name          string     `json:"name"`
	Mode          string     `json:"mode"` // listen, unmodified
	Command       []string   `json:"command"`
	Listen        []string   `json:"listen"` // as configured
	Process       Process    `json:"process"`
	Ready         bool       `json:"ready"` // serves, and all connections that it had to recover are live
	Log           ProgramLog `json:"log"`
	Connections   int        `json:"connections"`
	WorkerCrashes uint64     `json:"worker_crashes"` // processes of an unmodified server that crashed while its main process went on
}

// ProgramLog is what of a program's connections is logged.
type ProgramLog struct {
	Policy string  `json:"policy"`         // full, idle, off
	Idle   float64 `json:"idle,omitempty"` // seconds, of policy idle
	Quota  uint64  `json:"quota"`          // bytes for each connection
	OnFull string  `json:"on_full"`
	// WhenDown is what happens while the log makes nothing stable: hold, or
	// unprotect after DownAfter seconds.
	WhenDown  string  `json:"when_down,omitempty"`
	DownAfter float64 `json:"down_after,omitempty"`
}

// ServiceState is that of a listening port.
type ServiceState string

const (
	ServiceStarting   ServiceState = "starting" // its server has not listened yet
	ServiceListening  ServiceState = "listening"
	ServiceOutage     ServiceState = "outage"     // nobody listens, SYNs are held
	ServiceRecovering ServiceState = "recovering" // listens, connections are being rolled forward
	ServiceClosed     ServiceState = "closed"     // the server has closed its listener; connections go on
	ServiceFenced     ServiceState = "fenced"     // another engine has taken over its program; nothing passes here
	ServiceStopped    ServiceState = "stopped"    // its program was stopped, or has ended; it is not protected
)

// Service is one protected port.
type Service struct {
	Program        string         `json:"program"` // its name
	Network        string         `json:"network"` // tcp, tcp4, tcp6
	Address        string         `json:"address"`
	State          ServiceState   `json:"state"`
	Compare        policy.Compare `json:"compare"` // strict, length
	Connections    int            `json:"connections"`
	HalfOpen       int            `json:"half_open,omitempty"` // handshakes whose client has not answered yet
	Accepted       uint64         `json:"accepted"`            // handshakes that were completed
	Recovered      uint64         `json:"recovered"`           // times that a connection was recovered
	Mismatches     uint64         `json:"mismatches"`          // connections reset because the replies differed
	Outages        uint64         `json:"outages"`             //
	LastOutage     float64        `json:"last_outage"`         // seconds from the crash until all was live
	LongestOutage  float64        `json:"longest_outage"`      // seconds
	RefusedOptions uint64         `json:"refused_options,omitempty"`
	// Unprotected counts the connections that were not protected from some moment on, by
	// reason, in the words of docs/limits.md.
	Unprotected map[string]uint64 `json:"unprotected,omitempty"`
	// Handshakes that the engine has tried at the port, by interface and address family.
	Handshakes []Handshake `json:"handshakes,omitempty"`
	// Untried are those that it could not try: their Reason says why.
	Untried []Handshake `json:"untried,omitempty"`
}

// Handshake says whether the kernel answers handshakes that the engine begins in clients'
// names: by an interface where it does not, no connection is recovered.
type Handshake struct {
	Interface string    `json:"interface"`
	Network   string    `json:"network"` // tcp4, tcp6
	Answered  bool      `json:"answered"`
	Loopback  bool      `json:"loopback,omitempty"` // only what came by loopback was answered
	Reason    string    `json:"reason,omitempty"`   // why not
	Since     time.Time `json:"since"`
}

// Protection of a connection.
type Protection string

const (
	Protected   Protection = "protected"
	Unprotected Protection = "unprotected" // Connection.Reason says why
	Over        Protection = "over"        // there is nothing to protect: late segments are answered
)

// Connection is one connection of a client.
type Connection struct {
	ID          uint64     `json:"id"`      // 0: the engine does not know it
	Program     string     `json:"program"` // the name of its
	Client      string     `json:"client"`
	Server      string     `json:"server"`
	State       string     `json:"state"` // of the south side's state machine
	Protection  Protection `json:"protection"`
	How         string     `json:"how,omitempty"`    // it is protected
	Reason      string     `json:"reason,omitempty"` // why it is not protected
	Age         float64    `json:"age"`              // seconds
	Idle        float64    `json:"idle"`             // seconds since the client's last segment
	BytesIn     uint64     `json:"bytes_in"`         // client to server, delivered in order
	BytesOut    uint64     `json:"bytes_out"`        // acknowledged by the client
	BytesLogged uint64     `json:"bytes_logged"`     // held in the log now
	StableLag   uint64     `json:"stable_lag"`       // bytes received and not yet stable
	HeldACK     bool       `json:"held_ack"`         // an acknowledgment waits for stability
	Recoveries  uint64     `json:"recoveries"`
}

// Log is the state of stable storage.
type Log struct {
	Backend    string `json:"backend"`          // memory, file, ftlog
	URL        string `json:"url,omitempty"`    // where it is
	Status     string `json:"status"`           // ok, or some of low-space, failed, expired, other, unreachable, joined by |
	Reason     string `json:"reason,omitempty"` // why it is not ok, if that is known
	Bytes      uint64 `json:"bytes"`            // client bytes held
	Pending    uint64 `json:"pending"`          // client bytes received that are not stable yet
	Memory     uint64 `json:"memory"`           // what the log takes where it is: memory, or disk
	Quota      uint64 `json:"quota"`            // per connection, of the only program
	QuotaTotal uint64 `json:"quota_total"`
	OnFull     string `json:"on_full"`     // of the only program
	FullEvents uint64 `json:"full_events"` // times a quota was hit
	// Certificate is until when the engine's certificate for a log server is valid.
	Certificate *time.Time `json:"certificate,omitempty"`
	DownEvents  uint64     `json:"down_events"` // connections that went on unprotected because the log made nothing stable
}

// Tap counts what the raw-socket tap saw.
type Tap struct {
	Packets   uint64 `json:"packets"`
	Bytes     uint64 `json:"bytes"`
	Losses    uint64 `json:"losses"`    // packets that did not fit its buffer
	Fragments uint64 `json:"fragments"` // IP fragments among the packets
	Truncated uint64 `json:"truncated"` //
	Invalid   uint64 `json:"invalid"`   // bad checksum or malformed
}

// Gate counts what the BPF programs judged. Counters by reason are in Reasons.
type Gate struct {
	HeldACKs   uint64            `json:"held_acks"`
	Released   uint64            `json:"released_acks"` // ACKs the engine sent in their place
	HeldFINs   uint64            `json:"held_fins"`
	HeldRSTs   uint64            `json:"held_rsts"`
	LostEvents uint64            `json:"lost_events"`
	Reasons    map[string]uint64 `json:"reasons,omitempty"`
	// Mended counts how often something of the gate was put back that somebody had taken
	// away, Missing says what could not be, and why: the program that notes releases of
	// sockets ("releases"), the pins ("pins").
	Mended  map[string]uint64 `json:"mended,omitempty"`
	Missing map[string]string `json:"missing,omitempty"`
}

// Memory of the engine.
type Memory struct {
	Resident   uint64 `json:"resident"`
	Heap       uint64 `json:"heap"`
	Journal    uint64 `json:"journal"` // shared with the server process
	Goroutines int    `json:"goroutines"`
}
