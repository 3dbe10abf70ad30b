package admin

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/ftnet/ftnet/internal/runtimedir"
)

// Find returns the path of the socket of the daemon that runs below base: the
// one with that engine id or process id, or the only one if id is empty. The
// error says what runs otherwise.
func Find(base, id string) (string, error) {
	entries, err := runtimedir.List(base)
	if err != nil {
		return "", err
	}
	if base == "" {
		base = runtimedir.Default(runtimedir.Base)
	}
	var daemons, others []string
	path := ""
	for _, e := range entries {
		if !e.Alive {
			continue
		}
		socket := filepath.Join(e.Path, SocketName)
		if _, err := os.Lstat(socket); errors.Is(err, fs.ErrNotExist) {
			others = append(others, fmt.Sprintf("%s (pid %d)", e.ID, e.PID))
			continue
		}
		daemons = append(daemons, fmt.Sprintf("%s (pid %d)", e.ID, e.PID))
		if id == "" || id == e.ID || id == strconv.Itoa(e.PID) {
			path = socket
		}
	}
	switch {
	case id == "" && len(daemons) == 1, id != "" && path != "":
		return path, nil
	case len(daemons) > 0 && id == "":
		return "", fmt.Errorf("several daemons run below %s, choose one with --engine: %s", base, strings.Join(daemons, ", "))
	case len(daemons) > 0:
		return "", fmt.Errorf("no daemon %q runs below %s, but: %s", id, base, strings.Join(daemons, ", "))
	case len(others) > 0:
		return "", fmt.Errorf("no daemon (ftnet serve) runs below %s; of single services (ftnet run) there are: %s", base, strings.Join(others, ", "))
	}
	return "", fmt.Errorf("no daemon (ftnet serve) runs below %s", base)
}
