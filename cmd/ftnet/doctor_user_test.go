package main

import (
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/cmd/ftnet/internal/doctor"
	"github.com/ftnet/ftnet/internal/lab/testenv"
)

// asUser is a command of ftnet for a user who is not root, with those capabilities,
// in a network namespace of its own. bpffs is the user's.
func asUser(t *testing.T, capabilities []uintptr, args ...string) *exec.Cmd {
	t.Helper()
	testenv.RequireRoot(t)
	dir, err := os.MkdirTemp("", "ftnet-user-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	program := filepath.Join(dir, "ftnet")
	in, err := os.Open(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.OpenFile(program, os.O_CREATE|os.O_WRONLY, 0o755)
	if err == nil {
		_, err = io.Copy(out, in)
	}
	if err == nil {
		err = out.Close()
	}
	const nobody = 65534
	if err == nil {
		err = os.Mkdir(filepath.Join(dir, "run"), 0o700)
	}
	if err == nil {
		err = os.Chown(filepath.Join(dir, "run"), nobody, nobody)
	}
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", append([]string{"-c", `ip link set lo up; exec "$0" "$@"`, program}, args...)...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), mainEnv + "=1", "XDG_RUNTIME_DIR=" + filepath.Join(dir, "run")}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNET, AmbientCaps: capabilities,
		Credential: &syscall.Credential{Uid: nobody, Gid: nobody},
	}
	return cmd
}

// TestDoctorFourCapabilities: the documented four are enough, in a runtime directory
// of the user's own, and every hint names what is missing.
func TestDoctorFourCapabilities(t *testing.T) {
	documented := []uintptr{unix.CAP_NET_ADMIN, unix.CAP_NET_RAW, unix.CAP_BPF, unix.CAP_PERFMON}
	diagnose := func(capabilities []uintptr) (d diagnosis, all string) {
		cmd := asUser(t, capabilities, "doctor", "--json")
		cmd.Stderr = os.Stderr
		text, _ := cmd.Output()
		if err := json.Unmarshal(text, &d); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		return d, string(text)
	}
	d, all := diagnose(documented)
	for _, r := range d.Checks {
		if r.Level == doctor.Fail {
			t.Errorf("%s: %s (%s)", r.Name, r.Detail, r.Advice)
		}
	}
	if !d.OK {
		t.Error(all)
	}
	d, _ = diagnose([]uintptr{unix.CAP_NET_ADMIN, unix.CAP_NET_RAW, unix.CAP_PERFMON})
	failed := 0
	for _, r := range d.Checks {
		if r.Level == doctor.Fail {
			failed++
			if !strings.Contains(r.Advice, "CAP_BPF") && r.Name != "CAP_BPF" || strings.Contains(r.Advice, "CAP_NET_ADMIN") || strings.Contains(r.Advice, "CAP_PERFMON") {
				t.Errorf("without CAP_BPF, %s: %s (%s)", r.Name, r.Detail, r.Advice)
			}
		}
	}
	if failed < 2 {
		t.Errorf("without CAP_BPF %d checks fail", failed)
	}
}

// TestRunFourCapabilities: and the engine does with them what doctor says.
func TestRunFourCapabilities(t *testing.T) {
	cmd := asUser(t, []uintptr{unix.CAP_NET_ADMIN, unix.CAP_NET_RAW, unix.CAP_BPF, unix.CAP_PERFMON}, "run", "--", "echo", "hello")
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "hello") {
		t.Errorf("%v: %s", err, out)
	}
}
