package bench

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/ftnet/ftnet/internal/lab/netlab"
	"github.com/ftnet/ftnet/internal/lab/workload"
	"github.com/ftnet/ftnet/internal/status"
)

const nginxPort = 8080

// closingRates measures how many replies a second nginx gives that closes each
// connection after one, asked by wrk on 64 connections: from the client
// namespace, and from the server's own over loopback.
func closingRates(c Config, worlds []*world, t *Table) error {
	for _, tool := range []string{"nginx", "wrk"} {
		if _, err := exec.LookPath(tool); err == nil {
			continue
		}
		why := fmt.Sprintf("%s: not measured, %s is not installed", closing, tool)
		if os.Getenv("FTNET_KERNEL_TESTS") == "require" {
			return errors.New(why)
		}
		t.notes = append(t.notes, why)
		return nil
	}
	dir, err := os.MkdirTemp("", "ftnet-bench-nginx-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	args, _, err := workload.Nginx(dir, nginxPort, "hello, world\n")
	if err != nil {
		return err
	}
	for round := range c.Rounds {
		for w := range turns(worlds, round) {
			fmt.Fprintf(c.Progress, "closing %d of %d: %s\n", round+1, c.Rounds, w.name)
			if err := w.closingRates(args, c.Closing, t); err != nil {
				return fmt.Errorf("closing: %s: %w", w.name, err)
			}
		}
	}
	return nil
}

func (w *world) closingRates(nginx []string, d time.Duration, t *Table) (err error) {
	if err := w.startNginx(nginx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.stop()) }()
	loopback := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	for _, way := range []struct {
		row  string
		from *netlab.Namespace
		to   netip.Addr
	}{{closing, w.lab.Client, netlab.Server4}, {closingLoopback, w.lab.Server, loopback}} {
		url := "http://" + netip.AddrPortFrom(way.to, nginxPort).String() + "/"
		before, err := processCPU(w.cmd.Process.Pid)
		if err != nil {
			return err
		}
		out, err := way.from.Command("wrk", "-t2", "-c64", "--timeout", "30s", "-d", d.String(), "-H", "Connection: close", url).CombinedOutput()
		if err != nil {
			return fmt.Errorf("wrk: %w: %s", err, out)
		}
		rate, err := wrkRate(string(out))
		if err != nil {
			return err
		}
		t.add(w.column, way.row, rate)
		t.row(engineOf(way.row))
		if !w.protected {
			continue
		}
		after, err := processCPU(w.cmd.Process.Pid)
		if err != nil {
			return err
		}
		t.add(w.column, engineOf(way.row), (after-before)*1e6/(rate*d.Seconds()))
	}
	return nil
}

// startNginx starts nginx and returns once it answers, or is protected.
func (w *world) startNginx(args []string) error {
	command := append([]string{"nginx"}, args...)
	cmd := w.lab.Server.Command(command[0], command[1:]...)
	if w.protected {
		// The replies have a Date: another length than before would be wrong.
		cmd = w.ftnet(append([]string{"--compare", "length", "--unmodified", "--listen", fmt.Sprintf(":%d", nginxPort), "--"}, command...)...)
	}
	if err := w.spawn(cmd); err != nil {
		return err
	}
	for deadline := time.Now().Add(startTimeout); !w.nginxServes(); time.Sleep(10 * time.Millisecond) {
		select {
		case err := <-w.ended:
			w.cmd = nil
			return fmt.Errorf("nginx ended: %v", err)
		default:
		}
		if time.Now().After(deadline) {
			return errors.Join(errors.New("nginx does not listen"), w.stop())
		}
	}
	return nil
}

func (w *world) nginxServes() bool {
	if w.protected {
		d, err := w.status()
		return err == nil && len(d.Services) == 1 && d.Services[0].State == status.ServiceListening
	}
	c, err := w.lab.Client.Dial("tcp", net.JoinHostPort(netlab.Server4.String(), strconv.Itoa(nginxPort)))
	if err != nil {
		return false
	}
	c.Close()
	return true
}

var perSecond = regexp.MustCompile(`Requests/sec:\s*([0-9.]+)`)

// wrkRate returns the replies per second that wrk has printed. That a client
// saw an error is one.
func wrkRate(out string) (float64, error) {
	for line := range strings.Lines(out) {
		if strings.Contains(line, "Socket errors") || strings.Contains(line, "Non-2xx") {
			return 0, errors.New("wrk: " + strings.TrimSpace(line))
		}
	}
	found := perSecond.FindStringSubmatch(out)
	if found == nil {
		return 0, fmt.Errorf("wrk printed no rate: %s", out)
	}
	return strconv.ParseFloat(found[1], 64)
}
