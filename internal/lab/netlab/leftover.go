package netlab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

const prefix = "ftt-"

// ownedName returns the name that the process's n-th lab builds on. It tells
// the owner by process id and start time, so that the next lab knows what a
// killed test has left behind even after the id was given away again.
func ownedName(pid int, n uint32) (string, error) {
	start, err := startTime(pid)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s%d-%s-%d", prefix, pid, start, n), nil
}

// ownerGone reports whether name is a lab's and its owner no longer lives.
func ownerGone(name string) bool {
	rest, ours := strings.CutPrefix(name, prefix)
	parts := strings.Split(rest, "-")
	if !ours || len(parts) < 4 {
		return false
	}
	pid, err := strconv.Atoi(parts[0])
	if err != nil {
		return false
	}
	start, err := startTime(pid)
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) || err == nil && start != parts[1]
}

// startTime returns the process's start in clock ticks since boot, field 22 of
// proc_pid_stat(5).
func startTime(pid int) (string, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", err
	}
	_, after, _ := strings.Cut(string(stat), ") ") // the command may hold spaces
	fields := strings.Fields(after)
	if len(fields) < 20 {
		return "", fmt.Errorf("process %d: short stat", pid)
	}
	return fields[19], nil
}

// RemoveLeftovers removes the labs, processes included, whose owner no longer
// lives, and returns the names of their namespaces.
func RemoveLeftovers() ([]string, error) {
	entries, err := os.ReadDir(namespaceDir)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		return nil, err
	}
	var removed []string
	var errs []error
	for _, e := range entries {
		if !ownerGone(e.Name()) {
			continue
		}
		errs = append(errs, killInside(e.Name()))
		err := netns.DeleteNamed(e.Name())
		if errors.Is(err, unix.EINVAL) { // died between creating the file and mounting it
			err = os.Remove(filepath.Join(namespaceDir, e.Name()))
		}
		if errors.Is(err, fs.ErrNotExist) { // another process was faster
			continue
		}
		errs = append(errs, err)
		removed = append(removed, e.Name())
	}
	return removed, errors.Join(errs...)
}

// killInside kills every process in the named namespace, other than this one,
// and returns when they are gone. Only a lab puts processes there.
func killInside(name string) error {
	var inside unix.Stat_t
	if err := unix.Stat(filepath.Join(namespaceDir, name), &inside); err != nil {
		return nil
	}
	isInside := func(pid int) bool {
		var st unix.Stat_t
		err := unix.Stat(fmt.Sprintf("/proc/%d/ns/net", pid), &st)
		return err == nil && st.Ino == inside.Ino && st.Dev == inside.Dev
	}
	// A killed process may have forked in between: look until none is left.
	for {
		found, err := killAll(isInside)
		if err != nil || !found {
			return err
		}
	}
}

func killAll(match func(pid int) bool) (found bool, err error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return false, err
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() || !match(pid) {
			continue
		}
		// The descriptor pins the process: the id cannot come to mean another
		// one between the second look and the signal.
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			continue
		}
		if match(pid) {
			found = true
			err = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
			if err == nil {
				err = waitExit(fd)
			}
		}
		unix.Close(fd)
		if err != nil && !errors.Is(err, unix.ESRCH) {
			return found, fmt.Errorf("end process %d: %w", pid, err)
		}
	}
	return found, nil
}

func waitExit(pidfd int) error {
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, 5000)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return err
		case n == 0:
			return errors.New("it did not end within 5 s of SIGKILL")
		default:
			return nil
		}
	}
}
