package recovery

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/ftnet/ftnet/ftnet"
	"github.com/ftnet/ftnet/internal/control"
)

// role is what the test binary does as a server.
func role(args []string) int {
	log.SetFlags(0)
	switch args[0] {
	case "listen", "listen-any", "listen-close": // with ftnet, where it may
		var all []net.Listener
		for _, a := range args[1:] {
			ln, err := ftnet.Listen("tcp", a)
			if err != nil {
				log.Print(err)
				if args[0] == "listen-any" {
					continue
				}
				return 9
			}
			all = append(all, ln)
			go accept(ln)
		}
		if args[0] == "listen-close" {
			return closeAll(all)
		}
	case "plain": // without
		plain(args[1:])
	case "late": // some time after the start
		time.Sleep(100 * time.Millisecond)
		plain(args[1:])
	case "prefork": // the main process listens, others accept
		return prefork(args[1])
	case "worker":
		ln, err := net.FileListener(os.NewFile(3, "listener"))
		if err != nil {
			return 9
		}
		accept(ln)
	case "background": // go on in another process and exit
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), roleEnv+"=plain "+args[1])
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if cmd.Start() != nil {
			return 9
		}
		for {
			if c, err := net.Dial("tcp", "127.0.0.1"+args[1]); err == nil {
				c.Close()
				return 0
			}
		}
	case "exit":
		n, _ := strconv.Atoi(args[1])
		return n
	case "dial": // the socket of a service
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if _, _, err := control.Dial(ctx, args[1]); err != nil {
			fmt.Println(err)
			return 1
		}
		return 0
	}
	select {}
}

// closeAll closes listeners when the process is asked to end.
func closeAll(list []net.Listener) int {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGTERM)
	<-asked
	for _, ln := range list {
		ln.Close()
	}
	return 0
}

func plain(addresses []string) {
	for _, a := range addresses {
		ln, err := net.Listen("tcp", a)
		if err != nil {
			log.Fatal(err)
		}
		go accept(ln)
	}
}

// prefork starts workers again that end.
func prefork(address string) int {
	ln, err := net.Listen("tcp", address)
	if err != nil {
		log.Print(err)
		return 9
	}
	f, err := ln.(*net.TCPListener).File()
	if err != nil {
		return 9
	}
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for {
				cmd := exec.Command(os.Args[0])
				cmd.Env = append(os.Environ(), roleEnv+"=worker")
				cmd.ExtraFiles = []*os.File{f}
				cmd.Stderr = os.Stderr
				_ = cmd.Run()
			}
		})
	}
	wg.Wait()
	return 0
}

func accept(ln net.Listener) {
	for {
		c, err := ln.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			log.Fatal(err)
		}
		go serve(c)
	}
}

// serve answers lines. The sum is the state of a connection.
func serve(c net.Conn) {
	defer c.Close()
	sum := 0
	for in := bufio.NewScanner(c); in.Scan(); {
		word, arg, _ := strings.Cut(in.Text(), " ")
		n, _ := strconv.Atoi(arg)
		switch word {
		case "add":
			sum += n
			fmt.Fprintln(c, sum)
		case "pid": // differs after a restart
			fmt.Fprintln(c, os.Getpid())
		case "env":
			fmt.Fprintln(c, os.Getenv(arg))
		case "exit":
			os.Exit(n)
		case "quit":
			return
		case "listen": // where nobody expects it
			ln, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", arg)
			if err != nil {
				log.Fatal(err)
			}
			go accept(ln)
			fmt.Fprintln(c, "ok")
		}
	}
}
