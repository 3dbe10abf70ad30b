package config_test

import (
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/ftnet/ftnet/recovery/config"
)

const (
	docs  = "../../docs/configuration.md"
	begin = "<!-- The tables are made from recovery/config's schema: go test ./recovery/config -rewrite -->\n"
	end   = "<!-- End of the tables. -->\n"
)

// TestReference holds docs/configuration.md to the schema: it has every key
// with type, unit, range and default. -rewrite writes the tables.
func TestReference(t *testing.T) {
	data, err := os.ReadFile(docs)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(data), begin)
	tables, tail, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no %q and %q", docs, begin, end)
	}
	reference, err := config.Reference()
	if err != nil {
		t.Fatal(err)
	}
	want := "\n" + reference + "\n"
	if *rewrite {
		if err := os.WriteFile(docs, []byte(head+begin+want+end+tail), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, tables); diff != "" {
		t.Errorf("-rewrite makes this change (-schema +document):\n%s", diff)
	}
}

// TestExamples reads the files that people copy.
func TestExamples(t *testing.T) {
	m := newMachine()
	m.add("etc/bin/counter", "usr/local/bin/counter")
	m.files["var/lib/redis"] = &fstest.MapFile{Mode: 0o755 | fs.ModeDir}
	m.add("etc/ftnet/server.pem", "etc/ftnet/server.key")
	logd(t, m)
	for _, path := range []string{"../../packaging/ftnet.toml", "../../examples/services.toml"} {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
			continue
		}
		if _, err := config.Parse("/etc/ftnet/services.toml", data, m); err != nil {
			t.Errorf("%s:\n%v", path, err)
		}
		// What is commented out, but for prose, is right too: an annotated
		// example is made by removing the "#" of what one wants.
		if strings.Contains(path, "packaging") {
			if _, err := config.Parse("/etc/ftnet/services.toml", []byte(uncomment(string(data))), m); err != nil {
				t.Errorf("%s, with everything turned on:\n%v", path, err)
			}
		}
	}
}

// logd reads the file of a log server.
func logd(t *testing.T, m machine) {
	t.Helper()
	data, err := os.ReadFile("../../packaging/ftnet-logd.toml")
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{string(data), uncomment(string(data))} {
		if _, err := config.ParseLogd("/etc/ftnet/logd.toml", []byte(text), m); err != nil {
			t.Errorf("%v\n%s", err, text)
		}
	}
}

// uncomment turns on the lines that begin with "#" and no blank.
func uncomment(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, "#"); ok && rest != "" && rest[0] != ' ' && rest[0] != '\n' {
			line = rest
		}
		b.WriteString(line)
	}
	return b.String()
}

// TestDocumentedFiles reads the files that the documents show.
func TestDocumentedFiles(t *testing.T) {
	for _, path := range []string{docs, "../../README.md", "../../docs/operations.md"} {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, block := range strings.Split(string(data), "```toml\n")[1:] {
			text, _, _ := strings.Cut(block, "```")
			if !strings.Contains(text, "[[service]]") {
				text = "[[service]]\nname = \"example\"\nmode = \"unmodified\"\nlisten = [\":1\"]\ncommand = [\"./server\"]\n" + text
			}
			if _, err := config.Parse("/etc/ftnet/services.toml", []byte(text), newMachine()); err != nil {
				t.Errorf("%s: %v\n%s", path, err, text)
			}
			n++
		}
		if n == 0 && path == docs {
			t.Errorf("%s shows no file", path)
		}
	}
}
