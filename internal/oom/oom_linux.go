// Package oom keeps the kernel's OOM killer from taking the engine first: with it
// go all its connections, where a server that is taken instead is recovered.
package oom

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"sync"
)

// less is how much lower than before the score of this process becomes: a
// thousandth of the memory for each. It may so have half of the memory of its
// cgroup before it counts as the largest process, and is still taken if it has more:
// then it is the engine that takes too much.
var less = 500 // not constant for a test

const file = "/proc/self/oom_score_adj" // see proc(5)

var state struct {
	mu     sync.Mutex // guards what follows
	own    int        // as it was given to this process
	low    int
	users  int // of Lower
	births int // calls of Start that are under way
}

// Lower lowers the score of this process until restore is called. That takes
// CAP_SYS_RESOURCE; without it the error is os.ErrPermission, and nothing has
// changed. Processes that are started in [Start] do not inherit it.
func Lower() (restore func(), err error) {
	state.mu.Lock()
	defer state.mu.Unlock()
	if state.users == 0 {
		own, err := read()
		if err != nil {
			return nil, err
		}
		low := min(max(-1000, own-less), 1000)
		if err := write(low); err != nil {
			return nil, err
		}
		state.own, state.low = own, low
	}
	state.users++
	return sync.OnceFunc(func() {
		state.mu.Lock()
		defer state.mu.Unlock()
		if state.users--; state.users == 0 {
			_ = write(state.own) // it is no lower than what could be written
		}
	}), nil
}

// Start calls f, which starts a process, with the score that this process was given:
// there is no other moment at which a child is sure not to have children of its own.
func Start(f func() error) error {
	state.mu.Lock()
	if state.births++; state.births == 1 && state.users > 0 {
		_ = write(state.own)
	}
	state.mu.Unlock()
	defer func() {
		state.mu.Lock()
		defer state.mu.Unlock()
		if state.births--; state.births == 0 && state.users > 0 {
			_ = write(state.low)
		}
	}()
	return f()
}

func read() (int, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(string(bytes.TrimSpace(text)))
	if err != nil {
		return 0, fmt.Errorf("%s: %w", file, err)
	}
	return n, nil
}

func write(n int) error { return os.WriteFile(file, []byte(strconv.Itoa(n)), 0) }
