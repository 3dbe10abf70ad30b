package oom

import (
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// TestLower: this process is taken later, its children are not. To raise the score
// takes no privilege: so all but the direction is tested without it.
func TestLower(t *testing.T) {
	for _, by := range []int{less, -100} {
		t.Run(strconv.Itoa(by), func(t *testing.T) {
			defer func(before int) { less = before }(less)
			less = by
			testLower(t)
		})
	}
}

func testLower(t *testing.T) {
	before, err := read()
	if err != nil {
		t.Fatal(err)
	}
	restore, err := Lower()
	if errors.Is(err, os.ErrPermission) && less > 0 {
		if now, _ := read(); now != before {
			t.Errorf("the score was %d and is %d after a refusal", before, now)
		}
		t.Log("CAP_SYS_RESOURCE is missing: only the refusal was tested")
		return
	} else if err != nil {
		t.Fatal(err)
	}
	want := max(-1000, before-less)
	again, err := Lower()
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 10 {
				out, child := childScore(t)
				if child != before {
					t.Errorf("a child has %s, want %d", out, before)
				}
			}
		})
	}
	wg.Wait()
	again()
	again()
	if now, _ := read(); now != want {
		t.Errorf("the score is %d, want %d", now, want)
	}
	restore()
	if now, _ := read(); now != before {
		t.Errorf("the score is %d in the end, want %d", now, before)
	}
}

// childScore starts a process that says what its score is.
func childScore(t *testing.T) (string, int) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Error(err)
		return "", 0
	}
	defer r.Close()
	cmd := exec.Command("cat", file)
	cmd.Stdout = w
	err = Start(cmd.Start)
	w.Close()
	if err != nil {
		t.Error(err)
		return "", 0
	}
	buf := make([]byte, 64)
	n, _ := r.Read(buf)
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	text := strings.TrimSpace(string(buf[:n]))
	score, err := strconv.Atoi(text)
	if err != nil {
		t.Error(err)
	}
	return text, score
}
