package main

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ftnet/ftnet/internal/lab/testenv"
	"github.com/ftnet/ftnet/rawio"
)

const unitDir = "../../packaging/"

// unitCommands are the commands that each unit runs.
var unitCommands = map[string]map[string]string{
	"ftnet.service":      {"Service ExecStart": "serve", "Service ExecReload": "reload"},
	"ftnet-logd.service": {"Service ExecStart": "logd"},
}

// unitSettings reads the unit: section and name of a setting, to all its values.
func unitSettings(t *testing.T, unit string) map[string][]string {
	t.Helper()
	text, err := os.ReadFile(unitDir + unit)
	if err != nil {
		t.Fatal(err)
	}
	settings := map[string][]string{}
	section := ""
	for sc := bufio.NewScanner(bytes.NewReader(text)); sc.Scan(); {
		line := strings.TrimSpace(sc.Text())
		switch name, value, ok := strings.Cut(line, "="); {
		case line == "" || line[0] == '#':
		case line[0] == '[':
			section = strings.Trim(line, "[]")
		case ok && section != "":
			settings[section+" "+name] = append(settings[section+" "+name], value)
		default:
			t.Errorf("%q is neither a section nor a setting", line)
		}
	}
	return settings
}

// TestUnitCommands: the commands that the units run exist, with their flags.
func TestUnitCommands(t *testing.T) {
	for unit, commands := range unitCommands {
		settings := unitSettings(t, unit)
		for name, want := range commands {
			if len(settings[name]) != 1 {
				t.Fatalf("%s: %s: %q", unit, name, settings[name])
			}
			words := strings.Fields(settings[name][0])
			cmd, args, err := newRoot().Find(words[1:])
			if err != nil || words[0] != "/usr/local/bin/ftnet" || cmd.Name() != want {
				t.Errorf("%s: %s: %q: %v", unit, name, words, err)
				continue
			}
			if err := cmd.ParseFlags(args); err != nil {
				t.Errorf("%s: %s: %v", unit, name, err)
			}
			if rest := cmd.Flags().Args(); len(rest) > 0 {
				t.Errorf("%s: %s: %q", unit, name, rest)
			}
		}
	}
}

// TestUnitVerifies: systemd understands every line.
func TestUnitVerifies(t *testing.T) {
	testenv.RequireTool(t, "systemd-analyze")
	for unit := range unitCommands {
		text, err := os.ReadFile(unitDir + unit)
		if err != nil {
			t.Fatal(err)
		}
		// The program must exist for this.
		text = bytes.ReplaceAll(text, []byte("/usr/local/bin/ftnet"), []byte("/bin/true"))
		path := filepath.Join(t.TempDir(), unit)
		if err := os.WriteFile(path, text, 0o644); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("systemd-analyze", "verify", "--man=no", path)
		cmd.Env = append(os.Environ(), "SYSTEMD_LOG_LEVEL=warning")
		if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%s: %v\n%s", unit, err, out)
		}
	}
}

// TestUnitPins: the unit does not take away the BPF file system that pins are in.
func TestUnitPins(t *testing.T) {
	settings := unitSettings(t, "ftnet.service")
	if protected := slices.Equal(settings["Service ProtectKernelTunables"], []string{"yes"}); protected &&
		!slices.Contains(settings["Service BindPaths"], "-"+rawio.DefaultBPFFS) {
		t.Errorf("BindPaths=%q", settings["Service BindPaths"])
	}
}
