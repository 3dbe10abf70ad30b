package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/pelletier/go-toml/v2"

	"github.com/ftnet/ftnet/recovery/config"
)

// FuzzParse holds Parse to four things, whatever the file says: it does not
// panic; what it says has places in the file; it refuses all that go-toml refuses
// in strict mode; and it takes for TOML what go-toml does.
func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/wrong/*.toml")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range append(files, "../../examples/services.toml", "../../packaging/ftnet.toml") {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(smallest))
	f.Add([]byte(everything))
	f.Add([]byte(two))
	shape := config.StrictShape()
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := config.Parse("/etc/ftnet/services.toml", data, newMachine())
		if err == nil {
			if again, err := config.Parse("/etc/ftnet/services.toml", data, newMachine()); err != nil || !file.Diff(again).Empty() {
				t.Errorf("a file differs from itself: %+v, %v", file.Diff(again), err)
			}
		}
		var diags config.Diagnostics
		if err != nil {
			if !errors.As(err, &diags) {
				t.Fatal(err)
			}
			inside(t, data, diags)
		}
		strict(t, shape, data, diags)
		if err := toml.Unmarshal(data, new(map[string]any)); err == nil {
			for _, d := range diags {
				if ofLanguage.MatchString(d.Message) {
					t.Errorf("it is TOML, but: %v", d)
				}
			}
		}
	})
}

// ofLanguage are the messages about TOML itself.
var ofLanguage = regexp.MustCompile(`TOML syntax|has a value already|is there already, in line|is a (list of tables|single table) since line|^toml: `)

// otherCase is about a key that go-toml takes for one in small letters, so that
// it looks at what is below.
var otherCase = regexp.MustCompile(`^unknown key ".*[A-Z].*"`)

// strict compares with go-toml's strict mode.
func strict(t *testing.T, shape reflect.Type, data []byte, diags config.Diagnostics) {
	t.Helper()
	d := toml.NewDecoder(strings.NewReader(string(data))).DisallowUnknownFields()
	err := d.Decode(reflect.New(shape).Interface())
	if err == nil {
		return
	}
	if len(diags) == 0 {
		t.Fatalf("go-toml alone refuses it: %v", err)
	}
	var missing *toml.StrictMissingError
	if !errors.As(err, &missing) {
		return
	}
	for _, e := range missing.Errors {
		if !slices.ContainsFunc(diags, func(d config.Diagnostic) bool {
			return strings.HasPrefix(d.Message, "TOML syntax") || otherCase.MatchString(d.Message) || slices.ContainsFunc(e.Key(), func(part string) bool {
				return strings.HasPrefix(d.Message, "unknown key "+strconv.Quote(part))
			})
		}) {
			t.Errorf("go-toml alone finds the unknown key %q\n%v", e.Key(), diags)
		}
	}
}

// TestStrict compares the places of unknown keys with go-toml's.
func TestStrict(t *testing.T) {
	data, err := os.ReadFile("testdata/wrong/unknown-keys.toml")
	if err != nil {
		t.Fatal(err)
	}
	_, err = config.Parse("x.toml", data, newMachine())
	var diags config.Diagnostics
	if !errors.As(err, &diags) {
		t.Fatal(err)
	}
	var missing *toml.StrictMissingError
	if err := toml.NewDecoder(strings.NewReader(string(data))).DisallowUnknownFields().Decode(reflect.New(config.StrictShape()).Interface()); !errors.As(err, &missing) {
		t.Fatal(err)
	}
	if len(missing.Errors) < 10 {
		t.Errorf("go-toml finds only %d", len(missing.Errors))
	}
	for _, e := range missing.Errors {
		line, column := e.Position()
		if len(e.Key()) > 1 && strings.Contains(strings.Split(string(data), "\n")[line-1], ".") {
			column += strings.LastIndexByte(strings.Split(strings.Split(string(data), "\n")[line-1], " ")[0], '.') + 1 // go-toml points at the whole of a dotted key
		}
		if !slices.ContainsFunc(diags, func(d config.Diagnostic) bool { return d.Line == line && d.Column == column }) {
			t.Errorf("%q is at %d:%d for go-toml alone\n%v", e.Key(), line, column, diags)
		}
	}
}
