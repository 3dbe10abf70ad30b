package control

import (
	"net"
	"os"
	"syscall"
	"testing"
)

func TestTemporary(t *testing.T) {
	for err, want := range map[error]bool{
		syscall.EMFILE: true, syscall.ENOMEM: true, syscall.ECONNABORTED: true,
		syscall.EINVAL: false, syscall.EBADF: false, net.ErrClosed: false,
	} {
		if got := Temporary(&net.OpError{Op: "accept", Net: "unix", Err: os.NewSyscallError("accept4", err)}); got != want {
			t.Errorf("%v: %v", err, got)
		}
	}
	if Temporary(nil) {
		t.Error("no error is temporary")
	}
}
