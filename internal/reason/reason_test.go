package reason

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strconv"
	"strings"
	"testing"
)

// TestAll: All has each constant of the package, once.
func TestAll(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "reason.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	declared := map[Reason]int{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		for _, v := range spec.Values {
			if lit, ok := v.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				s, err := strconv.Unquote(lit.Value)
				if err != nil {
					t.Fatal(err)
				}
				declared[Reason(s)]++
			}
		}
		return true
	})
	if len(declared) == 0 {
		t.Fatal("no reason is declared in reason.go")
	}
	for _, r := range All() {
		declared[r]--
	}
	for r, n := range declared {
		if n != 0 {
			t.Errorf("%q is declared %+d times more than All names it", r, n)
		}
	}
}

// TestDocumented: docs/limits.md lists each reason in these words with what it means,
// docs/operations.md with what is to be done.
func TestDocumented(t *testing.T) {
	for _, name := range []string{"limits.md", "operations.md"} {
		text, err := os.ReadFile("../../docs/" + name)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range All() {
			if !strings.Contains(string(text), "\n| `"+string(r)+"` | ") {
				t.Errorf("docs/%s does not list `%s`", name, r)
			}
		}
	}
}
