// Tracedrun is `ftnet run` that also writes, for each rise of a connection's
// stable number, one line to a file before an ACK can leave that names it:
//
//	CLIENT SERVER STABLE UNIXNANO
//
// A test compares these lines with a capture.
package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"sync"

	"github.com/hashicorp/go-hclog"

	"github.com/ftnet/ftnet/rawio"
	"github.com/ftnet/ftnet/recovery"
	"github.com/ftnet/ftnet/recovery/config"
)

func main() {
	flags := flag.NewFlagSet("run", flag.ExitOnError)
	runtimeDir := flags.String("runtime-dir", "", "as of ftnet run")
	bpffs := flags.String("bpffs", "", "as of ftnet run")
	level := flags.String("log-level", "info", "as of ftnet run")
	trace := flags.String("trace", "", "file for the trace")
	unmodified := flags.Bool("unmodified", false, "as of ftnet run")
	listen := flags.String("listen", "", "as of ftnet run, but one address")
	_ = flags.Parse(os.Args[2:]) // after "run"; exits on an error
	f, err := os.Create(*trace)
	if err != nil {
		log.Fatal(err)
	}
	w := bufio.NewWriter(f)
	var mu sync.Mutex
	host := recovery.DefaultHost()
	host.RuntimeDir, host.BPFFS = *runtimeDir, *bpffs
	host.Logger = hclog.New(&hclog.LoggerOptions{Level: hclog.LevelFromString(*level)})
	host.Trace = func(f rawio.Flow, stable uint32, now int64) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintln(w, f.Client, f.Server, stable, now)
	}
	service := config.NewService(filepath.Base(flags.Arg(0)), config.ModeListen, flags.Args()...)
	if *unmodified {
		service.Mode, service.Listen = config.ModeUnmodified, []string{*listen}
	}
	err = recovery.Run(context.Background(), host, service, recovery.Inherit{})
	mu.Lock()
	defer mu.Unlock()
	if ferr := w.Flush(); ferr != nil {
		log.Fatal(ferr)
	}
	if err != nil {
		log.Print(err)
	}
}
