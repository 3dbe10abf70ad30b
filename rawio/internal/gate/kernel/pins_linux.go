package kernel

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// pins is the directory through which the next engine finds a gate whose engine was
// killed, without the privilege to open what belongs to nobody:
//
//	/sys/fs/bpf/ftnet/           0700, locked while its entries change
//	    4026531840-0a1b2c3d/     0700: network namespace, engine; locked while that lives
//	        conns, slots, …      every map, by its name
//	        program-123          the programs of the filters, by their numbers: filters
//	                             tell whose they are by nothing else
//	        releases             the link of the program that watches releases
//	        namespace            see witness
//
// An engine that adopts the gate pins its programs before it exchanges the filters',
// and removes the pins of the old ones after that. The kernel drops the lock however
// an engine ends.
type pins struct {
	dir  *os.File
	name string
	root string // the path of the directory that it is in
}

// Names of pins that are not maps'. bpffs allows no dots.
const (
	programPin = "program-"
	releasePin = "releases"
)

// errPinned: another engine has the pins, and lives.
var errPinned = errors.New("gate: the pins belong to an engine that lives")

func (p *pins) path() string { return filepath.Join(p.root, p.name) }

// at is a path that leads into the directory, whatever is renamed above it.
func (p *pins) at(pin string) string {
	return fmt.Sprintf("/proc/thread-self/fd/%d/%s", p.dir.Fd(), pin)
}

// pinsName names the pins of an engine in the calling thread's network namespace.
func pinsName(id string) (string, error) {
	netns, err := netnsInode()
	return netns + "-" + id, err
}

// netnsInode is the number that lsns(8) shows of the calling thread's network
// namespace. When the namespace is gone, another one may get it.
func netnsInode() (string, error) {
	var s unix.Stat_t
	if err := unix.Stat("/proc/thread-self/ns/net", &s); err != nil {
		return "", fmt.Errorf("gate: network namespace: %w", err)
	}
	return strconv.FormatUint(s.Ino, 10), nil
}

// open opens the pins of a name. They are locked, or the error is errPinned.
func (r *pinRoot) open(name string) (*pins, error) {
	path := filepath.Join(r.path, name)
	dir, err := openPinDir(int(r.dir.Fd()), name, path)
	if err != nil {
		return nil, err
	}
	if err := flock(dir, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		dir.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = fmt.Errorf("%w: %s", errPinned, path)
		}
		return nil, err
	}
	return &pins{dir, name, r.path}, nil
}

// create makes a directory of that name, in the place of a dead engine's.
func (r *pinRoot) create(name string) (*pins, error) {
	if err := r.clear(name); err != nil {
		return nil, err
	}
	if err := unix.Mkdirat(int(r.dir.Fd()), name, uint32(pinMode)); err != nil {
		return nil, fmt.Errorf("gate: pins: %w", &fs.PathError{Op: "mkdir", Path: filepath.Join(r.path, name), Err: err})
	}
	return r.open(name)
}

// clear removes what a dead engine has left under a name.
func (r *pinRoot) clear(name string) error {
	p, err := r.open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return r.remove(p)
}

// remove removes the directory and all pins.
func (r *pinRoot) remove(p *pins) error {
	defer p.leave()
	names, err := p.list()
	for _, name := range names {
		err = errors.Join(err, p.unpin(name))
	}
	if err == nil {
		err = unix.Unlinkat(int(r.dir.Fd()), p.name, unix.AT_REMOVEDIR)
	}
	if err != nil {
		return fmt.Errorf("gate: remove the pins in %s: %w", p.path(), err)
	}
	return nil
}

// leave gives the pins up as the engine's death would.
func (p *pins) leave() { p.dir.Close() }

func (p *pins) list() ([]string, error) {
	if _, err := p.dir.Seek(0, 0); err != nil {
		return nil, err
	}
	return p.dir.Readdirnames(-1)
}

// unpin removes a pin; one that is not there is no error.
func (p *pins) unpin(name string) error {
	err := unix.Unlinkat(int(p.dir.Fd()), name, 0)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}

// addMaps pins the maps, and the witness of the network namespace.
func (p *pins) addMaps(maps map[string]*ebpf.Map) error {
	if err := p.addWitness(); err != nil {
		return err
	}
	for name, m := range maps {
		if err := m.Pin(p.at(name)); err != nil {
			return fmt.Errorf("gate: pin %s: %w", name, err)
		}
	}
	return nil
}

func (p *pins) addWitness() error {
	w, err := newWitness()
	if err != nil {
		return unsupported("BPF device map", err)
	}
	defer w.Close() // the pin holds it
	if err := w.Pin(p.at(witnessPin)); err != nil {
		return fmt.Errorf("gate: pin %s: %w", witnessPin, err)
	}
	return nil
}

// addPrograms pins the programs of filters.
func (p *pins) addPrograms(programs []*ebpf.Program) error {
	for _, prog := range programs {
		id, err := programID(prog)
		if err != nil {
			return err
		}
		if err := prog.Pin(p.at(programName(id))); err != nil {
			return fmt.Errorf("gate: pin program %d: %w", id, err)
		}
	}
	return nil
}

// programs are the numbers of the programs whose filters are this gate's. A number
// is not given away again while the pin is there.
func (p *pins) programs() (map[ebpf.ProgramID]bool, error) {
	names, err := p.list()
	if err != nil {
		return nil, fmt.Errorf("gate: pins: %w", err)
	}
	ids := make(map[ebpf.ProgramID]bool)
	for _, name := range names {
		number, ok := strings.CutPrefix(name, programPin)
		if id, err := strconv.ParseUint(number, 10, 32); ok && err == nil {
			ids[ebpf.ProgramID(id)] = true
		}
	}
	return ids, nil
}

func programName(id ebpf.ProgramID) string { return programPin + strconv.FormatUint(uint64(id), 10) }

func programID(prog *ebpf.Program) (ebpf.ProgramID, error) {
	info, err := prog.Info()
	if err != nil {
		return 0, fmt.Errorf("gate: program: %w", err)
	}
	id, _ := info.ID()
	return id, nil
}
