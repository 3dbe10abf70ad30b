package netlab

import (
	"bytes"
	"os/exec"
	"syscall"
)

// Cmd is an exec.Cmd whose process starts inside a namespace, leads its own
// process group and is killed when the lab closes or this process dies.
type Cmd struct {
	*exec.Cmd
	ns *Namespace
}

// Command prepares a process; nothing runs until Start, Run, Output or
// CombinedOutput. Set Env, Stdout and so on as with exec.Command.
func (n *Namespace) Command(name string, args ...string) *Cmd {
	cmd := exec.Command(name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	return &Cmd{cmd, n}
}

// Start starts the process inside the namespace; see exec.Cmd.Start. It must
// not be called after the lab was closed.
func (c *Cmd) Start() error {
	errc := make(chan error, 1)
	c.ns.spawn <- func() { errc <- c.Cmd.Start() }
	return <-errc
}

// Run starts the process and waits until it has ended.
func (c *Cmd) Run() error {
	if err := c.Start(); err != nil {
		return err
	}
	return c.Wait()
}

// Output runs the process and returns what it wrote to standard output.
func (c *Cmd) Output() ([]byte, error) {
	var out bytes.Buffer
	c.Stdout = &out
	err := c.Run()
	return out.Bytes(), err
}

// CombinedOutput runs the process and returns all that it wrote.
func (c *Cmd) CombinedOutput() ([]byte, error) {
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	err := c.Run()
	return out.Bytes(), err
}
