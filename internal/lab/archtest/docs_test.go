package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// root is the module's, seen from this package's tests.
const root = "../../.."

// maxLine is the longest line of a document, in characters.
const maxLine = 160

// generated are lines that a tool writes: those of tables made from the code.
var generated = regexp.MustCompile(`(?s)<!-- The tables are made from .*?<!-- End of the tables. -->`)

// documents returns the text of every document of the module, by its path.
func documents(t *testing.T) map[string]string {
	t.Helper()
	texts := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && d.Name() != ".." && strings.HasPrefix(d.Name(), "."):
			return filepath.SkipDir
		case filepath.Ext(path) == ".md":
			data, err := os.ReadFile(path)
			texts[filepath.ToSlash(strings.TrimPrefix(path, root+string(filepath.Separator)))] = string(data)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return texts
}

// blocks calls f for each line of a document, with its number from 1 on and whether it
// stands in a fenced block: a quoted output, a drawing, a program.
func blocks(text string, f func(n int, line string, fenced bool)) {
	fenced := false
	for i, line := range strings.Split(text, "\n") {
		fence := strings.HasPrefix(strings.TrimSpace(line), "```")
		f(i+1, line, fenced || fence)
		fenced = fenced != fence
	}
}

// TestLines: no line of a document is too long to be reviewed. Quoted outputs and generated
// tables, whose rows cannot be wrapped, may be.
func TestLines(t *testing.T) {
	for path, text := range documents(t) {
		text = generated.ReplaceAllStringFunc(text, func(s string) string { return strings.Repeat("\n", strings.Count(s, "\n")) })
		blocks(text, func(n int, line string, fenced bool) {
			if c := utf8.RuneCountInString(line); c > maxLine && !fenced {
				t.Errorf("%s:%d has %d characters, more than %d", path, n, c, maxLine)
			}
		})
	}
}

// TestTour: the tour of the architecture stays one.
func TestTour(t *testing.T) {
	if n := strings.Count(documents(t)["docs/architecture.md"], "\n"); n == 0 || n > 200 {
		t.Errorf("docs/architecture.md has %d lines, not 1 to 200", n)
	}
}

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.*)$`)
)

// anchors returns what links into a document may name: its headings, as GitHub does it.
func anchors(text string) (list []string) {
	for _, m := range heading.FindAllStringSubmatch(text, -1) {
		list = append(list, strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case strings.ContainsRune("`.,:;()[]'\"?!/*=<>", r):
				return -1
			}
			return r
		}, strings.ToLower(m[1])))
	}
	return list
}

// TestLinks: what a document links to is there.
func TestLinks(t *testing.T) {
	texts := documents(t)
	for path, text := range texts {
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			file, anchor, _ := strings.Cut(m[1], "#")
			to := path
			if file != "" {
				to = filepath.ToSlash(filepath.Join(filepath.Dir(path), file))
			}
			if _, err := os.Stat(filepath.Join(root, to)); err != nil {
				t.Errorf("%s: %v", path, err)
			} else if anchor != "" && !slices.Contains(anchors(texts[to]), anchor) {
				t.Errorf("%s: there is no heading %q in %s", path, anchor, to)
			}
		}
	}
}

// holds reports whether a file declares a function, method or type of that name; of
// another language than Go, whether it has a function so called.
func holds(t *testing.T, path, name string) bool {
	t.Helper()
	path = filepath.Join(root, path)
	if filepath.Ext(path) != ".go" {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
		}
		return regexp.MustCompile(`\b` + name + `\(`).Match(data)
	}
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Error(err)
		return true
	}
	found := false
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			found = found || n.Name.Name == name
			return false
		case *ast.TypeSpec:
			found = found || n.Name.Name == name
		case *ast.InterfaceType:
			for _, m := range n.Methods.List {
				found = found || len(m.Names) == 1 && m.Names[0].Name == name
			}
		}
		return true
	})
	return found
}

// step is a line of a drawn way: a file, and the functions that the way passes there.
var step = regexp.MustCompile(`^ ([\w/]+\.(?:go|h)) +(\w+(?: → \w+)*)`)

// TestWays: the files and functions of the drawn ways exist.
func TestWays(t *testing.T) {
	n := 0
	blocks(documents(t)["docs/architecture.md"], func(line int, text string, fenced bool) {
		m := step.FindStringSubmatch(text)
		if m == nil || !fenced {
			return
		}
		n++
		for _, name := range strings.Split(m[2], " → ") {
			if !holds(t, m[1], name) {
				t.Errorf("docs/architecture.md:%d: there is no %s in %s", line, name, m[1])
			}
		}
	})
	if n < 20 {
		t.Errorf("docs/architecture.md draws %d steps", n)
	}
}

// shortPaths are what docs/figures.md calls directories that it names often.
var shortPaths = map[string]string{"gate": "rawio/internal/gate", "south": "rawio/internal/south"}

// quoted is a word in backquotes: the path of a file, or what the file before it has.
var quoted = regexp.MustCompile("`([^`]+)`")

// TestFigures: the files, functions and tests to which docs/figures.md leads exist, and
// every figure and every function of the log server is there.
func TestFigures(t *testing.T) {
	missing := map[string]bool{"3A": true, "3B": true, "4A": true, "4B": true, "4C": true}
	for _, n := range strings.Fields("12 13 14 15 16 17 18 19 20 21 22 23") {
		missing[n] = true
	}
	for _, f := range strings.Fields("query_num_active query_active query_endpoint write connection_data_length read" +
		" install_upcall status register_service operation instream") {
		missing["log_"+f] = true
	}
	rows := 0
	for i, line := range strings.Split(documents(t)["docs/figures.md"], "\n") {
		cells := strings.Split(line, "|")
		if len(cells) != 6 || !strings.Contains(line, "`") {
			continue
		}
		rows++
		for _, name := range regexp.MustCompile(`\w+`).FindAllString(cells[1], -1) {
			delete(missing, name)
		}
		for _, cell := range cells[3:5] {
			file := ""
			for _, m := range quoted.FindAllStringSubmatch(cell, -1) {
				if dir, rest, is := strings.Cut(m[1], "/"); is {
					if file = m[1]; shortPaths[dir] != "" {
						file = shortPaths[dir] + "/" + rest
					}
					if _, err := os.Stat(filepath.Join(root, file)); err != nil {
						t.Errorf("docs/figures.md:%d: %v", i+1, err)
					}
				} else if file == "" || !holds(t, file, m[1]) {
					t.Errorf("docs/figures.md:%d: there is no %s in %q", i+1, m[1], file)
				}
			}
		}
	}
	if rows < 40 {
		t.Errorf("docs/figures.md has %d rows", rows)
	}
	for name := range missing {
		t.Errorf("docs/figures.md does not say where %s is", name)
	}
}
