package bench

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestJobs runs every job against a server in this process, without a lab.
func TestJobs(t *testing.T) {
	for _, job := range []Job{
		{Kind: "upload", Bytes: 3<<20 + 1},
		{Kind: "download", Bytes: 3<<20 + 1},
		{Kind: "echo", Count: 100},
		{Kind: "connect", For: 20 * time.Millisecond},
		{Kind: "idle", Count: 20},
		{Kind: "pause", Count: 20},
		{Kind: "pause", Count: 20, Bytes: 10<<10 + 1},
		{Kind: "logged", Count: 3, Bytes: 1<<20 + 1},
		{Kind: "upcall", For: time.Minute, // longer than a log in memory takes to be full
			Log: LogAt{URL: "memory:"}},
		{Kind: "upcall", For: 20 * time.Millisecond, Log: LogAt{URL: "memory:"}},
	} {
		t.Run(fmt.Sprint(job.Kind, " ", job.Bytes), func(t *testing.T) {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			served := make(chan error, 1)
			go func() { served <- Serve(ln) }()
			job.Address = ln.Addr().String()
			r := run(t, job)
			ln.Close()
			if err := <-served; err != nil {
				t.Error(err)
			}
			if r.Errors != 0 || r.CPU <= 0 {
				t.Errorf("%+v", r)
			}
			switch job.Kind {
			case "upload", "download":
				if r.Seconds <= 0 {
					t.Errorf("%+v", r)
				}
			case "echo", "upcall":
				if r.P50 <= 0 || r.P99 < r.P50 {
					t.Errorf("%+v", r)
				}
			case "connect":
				if r.PerSec <= 0 {
					t.Errorf("%+v", r)
				}
			case "pause":
				if r.Longest <= 0 {
					t.Errorf("%+v", r)
				}
			}
		})
	}
}

// run plays the driver's side of a job.
func run(t *testing.T, job Job) (r Result) {
	t.Helper()
	fromDriver, toClient := io.Pipe()
	fromClient, toDriver := io.Pipe()
	done := make(chan error, 1)
	go func() {
		done <- RunClient(job, fromDriver, toDriver)
		toDriver.Close()
	}()
	out := bufio.NewReader(fromClient)
	line, _ := out.ReadString('\n')
	if line == "ready\n" {
		io.WriteString(toClient, "\n")
		line, _ = out.ReadString('\n')
	}
	io.Copy(io.Discard, out)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(line), &r); err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	return r
}

// TestUploadOfOtherLengthIsAnError: a job must not take a server's word that
// differs from its own.
func TestUploadOfOtherLengthIsAnError(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- Serve(ln) }()
	c, err := dial(Job{Address: ln.Addr().String()}, modeUpload)
	if err == nil {
		err = fill(c.(*net.TCPConn), 1000)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := finish(c.(*net.TCPConn), 1001); err == nil || !strings.Contains(err.Error(), "1000 of 1001") {
		t.Error(err)
	}
	c.Close()
	ln.Close()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

func TestLinesNoteTheFirstMatch(t *testing.T) {
	var out strings.Builder
	at := make(chan time.Time, 1)
	w := &lines{to: &out, match: "recovered", at: at}
	for _, part := range []string{"one\nservice reco", "vered"} {
		io.WriteString(w, part)
		if len(at) != 0 {
			t.Fatalf("noted before the line with %q was complete", part)
		}
	}
	io.WriteString(w, ": port=1\nrecovered again\n")
	if len(at) != 1 || out.String() != "one\nservice recovered: port=1\nrecovered again\n" {
		t.Errorf("%d noted, passed on %q", len(at), &out)
	}
}

func TestWrkRate(t *testing.T) {
	const good = "Running 1s test\n  2 threads and 64 connections\n  9986 requests in 1.00s, 2MB read\nRequests/sec:   9986.25\nTransfer/sec: 2MB\n"
	if rate, err := wrkRate(good); rate != 9986.25 || err != nil {
		t.Error(rate, err)
	}
	for _, bad := range []string{"", "unable to connect", good + "  Socket errors: connect 0, read 1, write 0, timeout 0\n", good + "  Non-2xx or 3xx responses: 7\n"} {
		if rate, err := wrkRate(bad); err == nil {
			t.Errorf("%q: %v", bad, rate)
		}
	}
}

func TestProcessFigures(t *testing.T) {
	if n, err := ownBytes(os.Getpid()); err != nil || n < 1<<20 {
		t.Errorf("own: %d, %v", n, err)
	}
	if _, err := processCPU(os.Getpid()); err != nil {
		t.Error(err)
	}
	if s, err := systemCPU(); err != nil || s <= 0 {
		t.Errorf("system: %v, %v", s, err)
	}
}
