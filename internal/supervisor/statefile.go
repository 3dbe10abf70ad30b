package supervisor

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
)

// StateFile is a [Recorder] that keeps the state in a file, whole at any moment.
type StateFile struct {
	Path string
	// Note is recorded with the state, as JSON, for the owner of the next supervisor.
	Note any
}

var _ Recorder = (*StateFile)(nil)

type stateFile struct {
	State State           `json:"state"`
	Note  json.RawMessage `json:"note,omitempty"`
}

// Record writes the file anew.
func (f *StateFile) Record(s State) error {
	note, err := json.Marshal(f.Note)
	if err != nil {
		return err
	}
	text, err := json.Marshal(stateFile{s, note})
	if err != nil {
		return err
	}
	// Without fsync: it has to survive this process, not the kernel.
	next := f.Path + ".new"
	if err := os.WriteFile(next, append(text, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(next, f.Path)
}

// Forget removes the file.
func (f *StateFile) Forget() error {
	if err := os.Remove(f.Path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// ReadState reads the state that a [StateFile] has recorded. If note is not nil it gets the note. Where
// no process was recorded the error is fs.ErrNotExist.
func ReadState(path string, note any) (State, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return State{}, err
	}
	var f stateFile
	if err = json.Unmarshal(text, &f); err == nil && note != nil {
		err = json.Unmarshal(f.Note, note)
	}
	return f.State, err
}
