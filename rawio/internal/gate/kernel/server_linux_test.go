package kernel

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// serverVariable makes the test binary a server that listens on the address in
// it and does what it is told on standard input; see serve. "idle" does nothing
// until standard input ends.
const serverVariable = "FTNET_GATE_TEST_SERVER"

// serverProtocol makes it one that listens with MPTCP, as Go's servers do: to
// clients without, that is TCP.
const serverProtocol = "FTNET_GATE_TEST_PROTOCOL"

func init() {
	helpers = append(helpers, func() {
		if addr := os.Getenv(serverVariable); addr != "" {
			runServer(addr)
		}
	})
}

// server is such a process.
type server struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines *bufio.Scanner
}

// startServer starts a server in the calling thread's network namespace.
func startServer(t *testing.T, addr netip.AddrPort) *server {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), serverVariable+"="+addr.String())
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	s := &server{cmd, in, bufio.NewScanner(out)}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()
	})
	s.answer(t)
	return s
}

// do has the server do something, and returns the number that it answers.
func (s *server) do(t *testing.T, command string) int {
	t.Helper()
	s.send(t, command)
	return s.answer(t)
}

// send is do for what the server cannot answer any more.
func (s *server) send(t *testing.T, command string) {
	t.Helper()
	_, err := io.WriteString(s.in, command+"\n")
	must(t, err)
}

func (s *server) answer(t *testing.T) int {
	t.Helper()
	if !s.lines.Scan() {
		t.Fatalf("no answer from the server: %v", s.lines.Err())
	}
	n, err := strconv.Atoi(s.lines.Text())
	must(t, err)
	return n
}

func (s *server) pid() int { return s.cmd.Process.Pid }

// runServer is the server process's main function. It uses the kernel's
// interface directly: what happens to a descriptor is all that matters here.
func runServer(addr string) {
	var err error
	if addr == "idle" {
		_, err = io.Copy(io.Discard, os.Stdin)
	} else {
		err = serve(netip.MustParseAddrPort(addr))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "server:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func serve(addr netip.AddrPort) error {
	listener, err := listenOn(addr)
	if err != nil {
		return err
	}
	conn := -1
	fmt.Println(0)
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		command, argument, _ := strings.Cut(lines.Text(), " ")
		n := 0
		switch command {
		case "accept":
			conn, _, err = unix.Accept4(listener, unix.SOCK_CLOEXEC)
		case "close":
			err = unix.Close(conn)
		case "close-listener":
			err = unix.Close(listener)
		case "shutdown":
			err = unix.Shutdown(conn, unix.SHUT_WR)
		case "fill": // write until nothing more fits; how much
			n, err = fill(conn)
		case "linger":
			err = unix.SetsockoptLinger(conn, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
		case "wait": // until something arrives
			n, _, err = unix.Recvfrom(conn, make([]byte, 1), unix.MSG_PEEK)
		case "exec":
			err = unix.Exec("/proc/self/exe", os.Args, append(os.Environ(), serverVariable+"=idle"))
		case "child": // has the connection too
			n, err = startChild(conn)
		case "register": // the connection with an io_uring, and close it
			n, err = register(conn)
		case "thread": // one of the process ends, slowly, and then the process by SIGKILL
			for ending := false; !ending && err == nil; {
				ending, err = endThread()
			}
			if err == nil {
				err = unix.Kill(unix.Getpid(), unix.SIGKILL)
			}
		case "exit":
			code, _ := strconv.Atoi(argument)
			os.Exit(code)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", command, err)
		}
		fmt.Println(n)
	}
	return nil
}

// fill writes until the send buffer is full.
func fill(conn int) (n int, err error) {
	for {
		sent, err := unix.SendmsgN(conn, make([]byte, 1<<12), nil, nil, unix.MSG_DONTWAIT)
		if errors.Is(err, unix.EAGAIN) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
		n += sent
	}
}

// listenOn listens on an address. An IPv6 address of all zeros takes IPv4 too.
func listenOn(addr netip.AddrPort) (int, error) {
	family := unix.AF_INET6
	var sa unix.Sockaddr = &unix.SockaddrInet6{Addr: addr.Addr().As16(), Port: int(addr.Port())}
	if addr.Addr().Is4() {
		family, sa = unix.AF_INET, &unix.SockaddrInet4{Addr: addr.Addr().As4(), Port: int(addr.Port())}
	}
	protocol := 0
	if os.Getenv(serverProtocol) == "mptcp" {
		protocol = unix.IPPROTO_MPTCP
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, protocol)
	if err != nil {
		return -1, err
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return -1, err
	}
	if err := unix.Bind(fd, sa); err != nil {
		return -1, err
	}
	return fd, unix.Listen(fd, 4096)
}

// register hands the connection over to an io_uring; 1 if there is none.
func register(conn int) (int, error) {
	var params [120]byte // struct io_uring_params
	ring, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, 1, uintptr(unsafe.Pointer(&params)), 0)
	if errno == unix.ENOSYS || errno == unix.EPERM {
		return 1, nil
	}
	if errno != 0 {
		return 0, errno
	}
	const registerFiles = 2
	fds := []int32{int32(conn)}
	if _, _, errno = unix.Syscall6(unix.SYS_IO_URING_REGISTER, ring, registerFiles, uintptr(unsafe.Pointer(&fds[0])), 1, 0, 0); errno != 0 {
		return 0, errno
	}
	return 0, unix.Close(conn)
}

// endThread begins a thread that ends by exit(0) at once, as those do that are not needed
// any more, and returns while it is ending, or says that it has ended. The kernel has much to
// do before it takes the thread's files: each of its robust futexes lies in a page of its own.
func endThread() (ending bool, err error) {
	const futexes, page = 2000, 1 << 12
	memory, err := unix.Mmap(-1, 0, 2*futexes*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return false, err
	}
	if err := unix.Madvise(memory, unix.MADV_NOHUGEPAGE); err != nil {
		return false, err
	}
	entry := func(i int) *uintptr { return (*uintptr)(unsafe.Pointer(&memory[i*page])) }
	for i := range futexes {
		*entry(i) = uintptr(unsafe.Pointer(entry((i + 1) % futexes)))
	}
	head := (*[3]uintptr)(unsafe.Pointer(&memory[unsafe.Sizeof(uintptr(0))])) // struct robust_list_head
	head[0], head[1] = *entry(0), futexes*page
	tid := make(chan int)
	go func() {
		runtime.LockOSThread()
		_, _, errno := unix.RawSyscall(unix.SYS_SET_ROBUST_LIST, uintptr(unsafe.Pointer(head)), unsafe.Sizeof(*head), 0)
		if errno != 0 {
			panic(errno)
		}
		tid <- unix.Gettid()
		_, _, _ = unix.Syscall(unix.SYS_EXIT, 0, 0, 0) // others get its processor
	}()
	for stat := fmt.Sprintf("/proc/self/task/%d/stat", <-tid); !ending; {
		b, err := os.ReadFile(stat)
		if err != nil {
			return false, unix.Munmap(memory)
		}
		const exiting = 4 // PF_EXITING
		flags, err := strconv.Atoi(strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))[6])
		if err != nil {
			return false, err
		}
		ending = flags&exiting != 0
	}
	return true, nil
}

func startChild(conn int) (pid int, err error) {
	fd, err := unix.Dup(conn)
	if err != nil {
		return 0, err
	}
	f := os.NewFile(uintptr(fd), "connection")
	defer f.Close()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), serverVariable+"=idle")
	cmd.ExtraFiles = []*os.File{f}
	cmd.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
	// Its standard input never ends.
	r, _, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	cmd.Stdin = r
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	go func() { _ = cmd.Wait() }() // reap it
	return cmd.Process.Pid, nil
}
