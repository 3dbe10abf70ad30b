package doctor

import (
	"errors"
	"io/fs"
	"slices"
	"strings"

	"github.com/ftnet/ftnet/internal/runtimedir"
	"github.com/ftnet/ftnet/recovery"
)

func runtimeDirectory(m Machine) []Result {
	const name = "runtime directory"
	d, err := runtimedir.Create(m.RuntimeDir)
	if err == nil {
		err = d.Close()
	}
	if err != nil {
		return finding(Fail, name, err.Error(), "choose another with --runtime-dir, or run as root")
	}
	base := m.RuntimeDir
	if base == "" {
		base = runtimedir.Default(runtimedir.Base)
	}
	return ok(name, "%s is writable", base)
}

// leftovers of engines that were killed. The next engine removes them too.
func leftovers(m Machine) []Result { return left(recovery.FindLeftovers(m.RuntimeDir, m.BPFFS)) }

func left(found recovery.Leftovers, err error) []Result {
	const name = "leftovers"
	all := strings.Join(append(slices.Clone(found.Servers), found.Others...), ", ")
	switch {
	case len(found.Servers) > 0:
		return finding(Warn, name, all, "start ftnet again as before: it goes on with the servers "+
			"and their connections; only to give these up: ftnet doctor --clean")
	case len(found.Others) > 0:
		return finding(Warn, name, all, "ftnet doctor --clean")
	case errors.Is(err, fs.ErrPermission):
		return finding(Warn, name, "cannot be looked for: "+err.Error(), "run as root")
	case err != nil:
		return finding(Warn, name, "cannot be looked for: "+err.Error(), "")
	}
	return ok(name, "none")
}
