package e2e

import (
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/internal/status"
)

// process is one that a test knows by its number while it lives, and may outlive its
// parents.
type process struct {
	t     testing.TB
	pid   int
	pidfd int
}

// watch names a process that lives.
func watch(t testing.TB, pid int) *process {
	t.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return &process{t, pid, fd}
}

func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := unix.PidfdSendSignal(p.pidfd, s, nil, 0); err != nil {
		p.t.Fatal(err)
	}
}

// ends waits until it has ended, up to 10 s. What ends it has been begun.
func (p *process) ends() {
	p.t.Helper()
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(p.pidfd), Events: unix.POLLIN}}, 10_000)
		if err == unix.EINTR {
			continue
		}
		if n != 1 || err != nil {
			p.t.Fatalf("process %d lives on: %v", p.pid, err)
		}
		return
	}
}

// lives reports whether it does.
func (p *process) lives() bool {
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(p.pidfd), Events: unix.POLLIN}}, 0)
	return n == 0 && err == nil
}

// killAlone ends ftnet by SIGKILL and returns when it is gone, and the process that
// its server has, which lives on. It keeps ftnet's output open as long as that.
func (r *rig) killAlone() (server *process) {
	r.t.Helper()
	server = r.server()
	r.killFtnet()
	if !server.lives() {
		r.t.Errorf("the server, process %d, has died with its engine", server.pid)
	}
	return server
}

// killBoth ends ftnet and the server by SIGKILL, and waits until both are gone.
func (r *rig) killBoth() {
	r.t.Helper()
	server := r.server()
	r.killFtnet()
	_ = unix.PidfdSendSignal(server.pidfd, unix.SIGKILL, nil, 0) // it may have gone with ftnet
	server.ends()
	_ = r.wait()
}

// server waits until the server has a process.
func (r *rig) server() *process {
	r.t.Helper()
	d := r.waitStatus("a server process runs", func(d *status.Document) bool { return d.Process.PID != 0 })
	return watch(r.t, d.Process.PID)
}

// killFtnet ends `ftnet run` or `ftnet serve` by SIGKILL, and returns when it is gone.
func (r *rig) killFtnet() {
	r.t.Helper()
	p := watch(r.t, r.cmd.Process.Pid)
	p.signal(unix.SIGKILL)
	p.ends()
}
