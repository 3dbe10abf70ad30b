package supervisor

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/ftnet/ftnet/internal/procfs"
)

// State identifies one process, so that a later supervisor finds it or learns that it has
// ended, even if its number was used again since.
type State struct {
	PID   int       `json:"pid"`   // 0: it is about to be started
	Start string    `json:"start"` // in ticks since boot, as /proc/PID/stat has it
	Began time.Time `json:"began"`
	Mark  string    `json:"mark"` // in the environment of the process and its descendants
	Boot  string    `json:"boot"` // of the kernel
	Space string    `json:"space"`
	// Digest is that of the configuration, see [Config.Digest].
	Digest string `json:"digest"`
}

// Recorder keeps the state of a process that is to outlive its supervisor. Recorded
// state must survive a kill of this process; it need not survive a reboot, after which
// no process is left.
type Recorder interface {
	// Record replaces the recorded state. It is called before a start, with PID 0,
	// and after it.
	Record(State) error
	// Forget is called when the process and its descendants have ended.
	Forget() error
}

// Digest is a hash of command, directory, user, groups and limits. If it differs from a
// State's, the process was started with another configuration.
func (c *Config) Digest() string {
	text, err := json.Marshal([]any{c.Command, c.Dir, c.User, c.Groups, c.Limits})
	if err != nil {
		panic(err) // none of these can fail
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// newState returns what is known before the start.
func newState(mark string, cfg *Config) (State, error) {
	boot, space, err := here()
	return State{Mark: mark, Boot: boot, Space: space, Digest: cfg.Digest()}, err
}

// started completes it with a process that nobody has reaped.
func (s State) started(pid int, at time.Time) (State, error) {
	st, err := procfs.ReadStat(pid)
	s.PID, s.Start, s.Began = pid, st.Start, at
	return s, err
}

// here names the space in which process numbers and start times mean something.
func here() (boot, space string, err error) {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", "", fmt.Errorf("the kernel's boot: %w", err)
	}
	if space, err = os.Readlink("/proc/self/ns/pid"); err != nil {
		return "", "", fmt.Errorf("the process namespace: %w", err)
	}
	return strings.TrimSpace(string(id)), space, nil
}
