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

// State names one process for good, so that a later supervisor finds it, or
// learns that it is gone, however often its number was used since.
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

// Recorder keeps the state of a process that is to outlive its supervisor. What
// it has kept must be there after this process was killed; a reboot may lose
// it, since no process is left then.
type Recorder interface {
	// Record keeps a state in place of the one before. It is called before a
	// start, with PID 0, and after it.
	Record(State) error
	// Forget is called when the process has ended, and all that it has left behind.
	Forget() error
}

// Digest stands for what was started: command, directory, user and limits. If
// it differs from a State's, the process was started otherwise.
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
