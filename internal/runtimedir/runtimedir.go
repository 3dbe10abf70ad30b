// Package runtimedir manages the directories of running engines,
// <base>/<id>/, by default below /run/ftnet. Each holds a flock'd file "lock"
// and the engine's sockets. The directory does not say whether its engine lives; [Lives]
// does.
package runtimedir

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Base is where engines live unless told otherwise, and LogBase where log
// servers do, which need not be root.
const (
	Base    = "/run/ftnet"
	LogBase = "/run/ftnet-logd"
)

// Names inside an engine's directory.
const (
	LockFile     = "lock"        // flock'd by the engine; holds its process id
	StatusSocket = "status.sock" // one status document per connection, 0600
)

// NorthName returns the name of the control socket of a service's server
// processes. Its mode is 0666: SO_PEERCRED decides.
func NorthName(service string) string { return northPrefix + service + ".sock" }

const northPrefix = "north-"

// Modes of what is made here. The server process, which may run as any user,
// has to pass through the directories but not to list one.
const (
	baseMode   fs.FileMode = 0o755
	dirMode    fs.FileMode = 0o711
	northMode  fs.FileMode = 0o666
	statusMode fs.FileMode = 0o600
)

// baseLock serialises making and cleaning: a directory that is being made has
// no locked file for a moment and must not look stale.
const baseLock = ".lock"

// Dir is the directory of this engine.
type Dir struct {
	ID    string // 8 hex digits
	Path  string
	Epoch uint64 // orders the engines that have had the ID: a later one has a greater one, until the host is started again

	lock   *os.File
	living *net.UnixConn
}

// errTaken: another engine has the id.
var errTaken = errors.New("engine id is taken")

// Create makes a directory with a fresh id below base and locks it. From then
// on the engine lives, for the calling thread's network namespace, too.
func Create(base string) (*Dir, error) {
	base = orDefault(base)
	if err := os.MkdirAll(base, baseMode); err != nil {
		return nil, explain(base, err)
	}
	unlock, err := lockBase(base)
	if err != nil {
		return nil, err
	}
	defer unlock()
	for {
		id := freshID()
		d := &Dir{ID: id, Path: filepath.Join(base, id)}
		if err := os.Mkdir(d.Path, dirMode); errors.Is(err, fs.ErrExist) {
			continue
		} else if err != nil {
			return nil, err
		}
		if err = d.claim(); err == nil {
			err = d.takeLock()
		}
		if err != nil {
			d.remove()
			if errors.Is(err, errTaken) {
				continue
			}
			return nil, err
		}
		return d, nil
	}
}

// claim claims the ID.
func (d *Dir) claim() (err error) {
	if d.living, err = claim(d.ID); err == nil {
		d.Epoch, err = now() // after the one before had it
	}
	return err
}

func freshID() string {
	var raw [4]byte
	_, _ = rand.Read(raw[:]) // it does not fail
	return hex.EncodeToString(raw[:])
}

// Claim is an engine's id without a directory: of somebody who has filters as an engine
// has, but no service. While it is held they are not taken for a dead engine's.
type Claim struct {
	ID     string // 8 hex digits
	living *net.UnixConn
}

// ClaimID claims a fresh id in the network namespace of the calling thread, until Close or
// until the process ends.
func ClaimID() (*Claim, error) {
	for {
		id := freshID()
		living, err := claim(id)
		if errors.Is(err, errTaken) {
			continue
		}
		if err != nil {
			return nil, err
		}
		return &Claim{id, living}, nil
	}
}

// Close gives the id up.
func (c *Claim) Close() error { return c.living.Close() }

func (d *Dir) takeLock() error {
	if err := os.Chmod(d.Path, dirMode); err != nil { // whatever the umask is
		return err
	}
	f, err := os.OpenFile(filepath.Join(d.Path, LockFile), os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o644)
	if err != nil {
		return err
	}
	if err := flock(f, unix.LOCK_EX); err != nil {
		f.Close()
		return err
	}
	if _, err := fmt.Fprintln(f, os.Getpid()); err != nil {
		f.Close()
		return err
	}
	d.lock = f
	return nil
}

// Listen makes the unix socket of that name, which only this process's user may
// connect to unless it is a [NorthName].
func (d *Dir) Listen(name string) (*net.UnixListener, error) {
	mode := statusMode
	if strings.HasPrefix(name, northPrefix) {
		mode = northMode
	}
	path := filepath.Join(d.Path, name)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, mode); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// Close removes the directory and gives the lock up. It may be called twice.
func (d *Dir) Close() error {
	if d.lock == nil {
		return nil
	}
	// Half removed it would look stale.
	if unlock, err := lockBase(filepath.Dir(d.Path)); err == nil {
		defer unlock()
	}
	err := d.remove()
	err = errors.Join(err, d.lock.Close())
	d.lock = nil
	return err
}

func (d *Dir) remove() error {
	err := os.RemoveAll(d.Path)
	if d.living != nil {
		err = errors.Join(err, d.living.Close())
	}
	return err
}

// Entry is one engine's directory.
type Entry struct {
	ID    string
	Path  string
	PID   int // of the engine that made it; 0 if unknown
	Alive bool
}

// List returns all engines' directories by id. A base that does not exist is empty.
func List(base string) ([]Entry, error) {
	base = orDefault(base)
	files, err := os.ReadDir(base)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	var entries []Entry
	for _, f := range files {
		if !f.IsDir() || !validID(f.Name()) {
			continue
		}
		e := Entry{ID: f.Name(), Path: filepath.Join(base, f.Name()), Alive: Lives(base, f.Name())}
		if text, err := os.ReadFile(filepath.Join(e.Path, LockFile)); err == nil {
			e.PID, _ = strconv.Atoi(strings.TrimSpace(string(text)))
		}
		entries = append(entries, e)
	}
	sort.Slice(entries, func(i, j int) bool { return entries[i].ID < entries[j].ID })
	return entries, nil
}

// Lives reports whether the engine of that id lives: the one answer, for its directory, its
// filters and all else that it may have left. An engine has two marks, which the kernel
// takes from it however it ends: the lock in its directory below base, which tells in
// whatever network namespace the engine is, and a socket in the abstract namespace, which
// tells in the network namespace of the calling thread whatever the engine's base is. While
// it has either it lives. Where that cannot be found out it lives, so that nothing of it is
// removed.
func Lives(base, id string) bool { return locked(base, id) || claimed(id) }

// locked reports whether somebody has the lock of the directory. Where that cannot be found
// out it is so.
func locked(base, id string) bool {
	f, err := os.Open(filepath.Join(orDefault(base), id, LockFile))
	if err != nil {
		return !errors.Is(err, fs.ErrNotExist)
	}
	defer f.Close()
	return flock(f, unix.LOCK_SH|unix.LOCK_NB) != nil
}

// CleanStale removes the directories of engines that no longer run and returns
// their ids. If keep is not nil, it names those that stay for the next engine.
func CleanStale(base string, keep func(path string) bool) ([]string, error) {
	base = orDefault(base)
	if _, err := os.Stat(base); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	unlock, err := lockBase(base)
	if err != nil {
		return nil, err
	}
	defer unlock()
	entries, err := List(base)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, e := range entries {
		if e.Alive || keep != nil && keep(e.Path) {
			continue
		}
		if err := os.RemoveAll(e.Path); err != nil {
			return ids, err
		}
		ids = append(ids, e.ID)
	}
	return ids, nil
}

// BPFFS is where engines mount a BPF file system of their own, below their base, where the
// host has none: what they pin there is for the next engine, which has the same base.
func BPFFS(base string) string { return filepath.Join(orDefault(base), "bpf") }

func orDefault(base string) string {
	if base == "" {
		return Default(Base)
	}
	return base
}

// Default returns where this user's processes live: base, which is root's or what
// the service manager has made for the user; where that is somebody else's, the
// same name below $XDG_RUNTIME_DIR, if there is one.
func Default(base string) string {
	own := os.Getenv("XDG_RUNTIME_DIR")
	if os.Geteuid() == 0 || !filepath.IsAbs(own) || mayMake(base) {
		return base
	}
	return filepath.Join(own, filepath.Base(base))
}

// mayMake reports whether this user may make files in a directory, or make it.
func mayMake(dir string) bool {
	err := unix.Faccessat(unix.AT_FDCWD, dir, unix.W_OK|unix.X_OK, unix.AT_EACCESS)
	if errors.Is(err, unix.ENOENT) && dir != filepath.Dir(dir) {
		return mayMake(filepath.Dir(dir))
	}
	return err == nil
}

// explain says what a user can do who may not use the directory.
func explain(base string, err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("the runtime directory %s is not for user %d: choose another (--runtime-dir, or FTNET_RUNTIME_DIR): %w", base, os.Geteuid(), err)
	}
	return err
}

func validID(s string) bool {
	raw, err := hex.DecodeString(s)
	return err == nil && len(raw) == 4
}

func lockBase(base string) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(base, baseLock), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, explain(base, err)
	}
	if err := flock(f, unix.LOCK_EX); err != nil {
		f.Close()
		return nil, err
	}
	return func() { f.Close() }, nil
}

func flock(f *os.File, how int) error {
	for {
		err := unix.Flock(int(f.Fd()), how)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
