package procfs

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const roleEnv = "PROCFS_TEST_ROLE"

func init() { runtime.LockOSThread() } // the main function's thread is the first one

func TestMain(m *testing.M) {
	switch os.Getenv(roleEnv) {
	case "":
		os.Exit(m.Run())
	case "parent": // of a child
		cmd := child("child")
		cmd.Stdin, cmd.Stdout = os.Stdin, os.Stdout
		if cmd.Start() != nil {
			os.Exit(1)
		}
		_ = cmd.Wait()
	case "threads": // the first one ends when it is told to, the others later
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			os.Exit(1)
		}
		fmt.Println(os.Getpid())
		in := bufio.NewReader(os.Stdin)
		in.ReadString('\n')
		go func() {
			in.ReadString('\n')
			ln.Close()
			os.Exit(0)
		}()
		syscall.Syscall(syscall.SYS_EXIT, 0, 0, 0)
	case "child":
		fmt.Println(os.Getpid())
		bufio.NewReader(os.Stdin).ReadString('\n')
	}
}

func child(role string) *exec.Cmd {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), roleEnv+"="+role)
	return cmd
}

// start starts a child, and returns the process ID that it tells, which may be another one's.
func start(t *testing.T, role string) (cmd *exec.Cmd, in io.WriteCloser, out io.Reader, pid int) {
	t.Helper()
	cmd = child(role)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if out, err = cmd.StdoutPipe(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fscan(out, &pid); err != nil {
		t.Fatal(err)
	}
	return cmd, in, out, pid
}

func TestFamily(t *testing.T) {
	cmd, in, _, grandchild := start(t, "parent")
	pid := cmd.Process.Pid
	if got, want := Family(pid), []int{pid, grandchild}; !slices.Equal(got, want) {
		t.Errorf("family %v, want %v", got, want)
	}
	if got := Children(os.Getpid()); !slices.Contains(got, pid) || slices.Contains(got, grandchild) {
		t.Errorf("children %v, want %d", got, pid)
	}
	if !slices.Contains(Processes(), grandchild) {
		t.Error("the grandchild is not among the processes")
	}
	for variable, want := range map[string]bool{roleEnv + "=parent": true, roleEnv + "=par": false, roleEnv + "=child": false} {
		if got := HasEnv(pid, variable); got != want {
			t.Errorf("has %s: %v", variable, got)
		}
	}
	alive, err := ReadStat(pid)
	if err != nil || alive.Zombie || alive.Start == "" {
		t.Errorf("%+v, %v", alive, err)
	}
	in.Close()
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	if _, err := ReadStat(pid); err == nil {
		t.Error("a process that is gone has a state")
	}
	if got := Family(pid); len(got) != 1 || Children(pid) != nil || HasEnv(pid, roleEnv+"=parent") || Sockets(pid) != nil || Name(pid) != "" {
		t.Errorf("a process that is gone has something: %v", got)
	}
}

func TestParseStat(t *testing.T) {
	rest := " 1 42 " + strings.Repeat("0 ", 16) + "4711 0\n"
	for _, tt := range []struct {
		text string
		want Stat
		bad  bool
	}{
		{"7 (cat) S" + rest, Stat{Parent: 1, Group: 42, Start: "4711"}, false},
		{"7 (cat) R 1 42 0 0 0 4194308 " + strings.Repeat("0 ", 12) + "4711 0\n", Stat{Ending: true, Parent: 1, Group: 42, Start: "4711"}, false},
		{"7 (killed) S" + rest + strings.Repeat(" 0", 7) + " 256 0", Stat{Ending: true, Parent: 1, Group: 42, Start: "4711"}, false},
		{"7 (a) Z (b c) Z" + rest, Stat{Zombie: true, Ending: true, Parent: 1, Group: 42, Start: "4711"}, false},
		{"7 (cat) Z" + rest + strings.Repeat(" 0", 28) + " 9", Stat{Zombie: true, Ending: true, Parent: 1, Group: 42, Start: "4711", Exit: 9}, false},
		{"7 (cat) S 1 2", Stat{}, true},
		{"", Stat{}, true},
	} {
		got, err := parseStat([]byte(tt.text))
		if (err != nil) != tt.bad || !tt.bad && got != tt.want {
			t.Errorf("%q: %+v, %v", tt.text, got, err)
		}
	}
	own, err := ReadStat(os.Getpid())
	if err != nil || own.Group == 0 {
		t.Errorf("%+v, %v", own, err)
	}
}

func TestSockets(t *testing.T) {
	before := Sockets(os.Getpid())
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	after := Sockets(os.Getpid())
	if len(after) != len(before)+1 {
		t.Errorf("sockets %v, then %v", before, after)
	}
	ln.Close()
	if got := Sockets(os.Getpid()); !slices.Equal(got, before) {
		t.Errorf("sockets %v, want %v", got, before)
	}
}

// TestEnding: a process is ending from when it has begun to close its files, and
// whether it was reaped or not.
func TestEnding(t *testing.T) {
	cmd, in, out, pid := start(t, "child")
	if Ending(pid) || Ending(os.Getpid()) {
		t.Error("processes that live are ending")
	}
	in.Close()
	if _, err := io.Copy(io.Discard, out); err != nil { // until it has closed its end
		t.Fatal(err)
	}
	if !Ending(pid) {
		t.Error("a process whose end has closed its files is not ending")
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if !Ending(pid) {
		t.Error("a process that was reaped is not ending")
	}
}

// TestEndedThread: a process lives, and has its files, as long as one of its threads does.
func TestEndedThread(t *testing.T) {
	cmd, in, out, pid := start(t, "threads")
	sockets := Sockets(pid)
	if _, err := io.WriteString(in, "\n"); err != nil {
		t.Fatal(err)
	}
	for begun := time.Now(); ; time.Sleep(time.Millisecond) {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil || time.Since(begun) > 10*time.Second {
			t.Fatalf("%q, %v", b, err)
		}
		if strings.Contains(string(b), ") Z ") {
			break
		}
	}
	if st, err := ReadStat(pid); err != nil || st.Zombie || st.Ending || Ending(pid) {
		t.Errorf("without its first thread it is %+v, %v", st, err)
	}
	if got := Sockets(pid); len(got) == 0 || !slices.Equal(got, sockets) {
		t.Errorf("sockets %v, want %v", got, sockets)
	}
	in.Close()
	if _, err := io.Copy(io.Discard, out); err != nil { // until it has closed its end
		t.Fatal(err)
	}
	if !Ending(pid) {
		t.Error("a process whose end has closed its files is not ending")
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
}

// TestHasClosed: a process has closed what it had when it is a zombie, or was reaped.
func TestHasClosed(t *testing.T) {
	if !HasClosed(os.Getpid()) {
		t.Error("one that is not ending has the number of another one")
	}
	if !HasClosed(0) {
		t.Error("nobody has it open")
	}
	child := exec.Command("sleep", "60")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	_ = child.Process.Kill()
	if err := unix.Waitid(unix.P_PID, child.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil); err != nil {
		t.Fatal(err)
	}
	if !HasClosed(child.Process.Pid) {
		t.Error("a zombie has not")
	}
	_ = child.Wait()
	if !HasClosed(child.Process.Pid) {
		t.Error("one that was reaped has not")
	}
}
