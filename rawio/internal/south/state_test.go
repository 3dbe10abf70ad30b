package south_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ftnet/ftnet/internal/segment"
	"github.com/ftnet/ftnet/rawio/internal/gate"
	"github.com/ftnet/ftnet/rawio/internal/south"
)

// stateEnv notes what is reported and sent.
type stateEnv struct {
	*benchEnv
	kinds []south.Kind
	sent  []segment.Segment
}

func (e *stateEnv) Report(r south.Report)       { e.kinds = append(e.kinds, r.Kind) }
func (e *stateEnv) ToClient(s *segment.Segment) { e.sent = append(e.sent, *s) }

// TestImpossibleStrict: a Machine that is tested stops at a transition that cannot be.
func TestImpossibleStrict(t *testing.T) {
	b := newBench(t, 1)
	b.open(t, 1)
	defer func() {
		if what, _ := recover().(string); !strings.HasSuffix(what, "from established to rolling") {
			t.Errorf("panic %q", what)
		}
	}()
	b.m.Enter(b.m.BySlot(0), south.Rolling)
}

// TestImpossible: an engine resets the connection, and goes on with the others; what is over it
// leaves alone.
func TestImpossible(t *testing.T) {
	b := newBench(t, 3)
	e := &stateEnv{benchEnv: (*benchEnv)(b)}
	cfg := surround(south.Config{Log: b.log, MaxConns: 3}, e)
	cfg.Strict = false
	b.m = south.New(cfg)
	b.m.Protect(serverPort, south.Service{})
	b.open(t, 2)
	c, other := b.m.BySlot(0), b.m.BySlot(1)
	e.kinds = nil
	if b.m.Enter(c, south.Rolling) || c.State() != south.Resetting || b.m.Stats.Impossible != 1 || b.m.Stats.Reset != 1 {
		t.Errorf("the state is %v, stats %+v", c.State(), b.m.Stats)
	}
	if want := []south.Kind{south.ConnImpossible, south.ConnReset}; !slices.Equal(e.kinds, want) {
		t.Errorf("reports %v, want %v", e.kinds, want)
	}
	if len(e.sent) != 1 || !e.sent[0].Flags.Has(segment.RST) || b.gate.Slot(0).Mode() != gate.ModeOutage {
		t.Errorf("sent %v, the gate's mode is %v", e.sent, b.gate.Slot(0).Mode())
	}
	if other.State() != south.Established || b.gate.Slot(1).Mode() != gate.ModeLive {
		t.Errorf("the other connection is %v", other.State())
	}
	b.m.Segment(&segment.Segment{Src: clientOf(0), Dst: serverAddr, Seq: 1001, Flags: segment.RST}, b.now)
	if b.m.Enter(c, south.Established) || b.m.Enter(c, south.Closed) || c.State() != south.Closed || b.m.Len() != 1 || b.m.Stats.Impossible != 3 {
		t.Errorf("after its end the state is %v, stats %+v", c.State(), b.m.Stats)
	}
	if len(e.sent) != 1 || b.gate.Slot(0).Mode() != gate.ModeFree {
		t.Errorf("after its end %v were sent, the gate's mode is %v", e.sent, b.gate.Slot(0).Mode())
	}
}

// TestStateDoors: a connection's state changes in state.go, and begins in newConn, and nowhere else.
func TestStateDoors(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	literals := 0
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.AssignStmt:
				for _, left := range n.Lhs {
					if sel, ok := left.(*ast.SelectorExpr); ok && sel.Sel.Name == "state" && name != "state.go" {
						t.Errorf("%v: a state is assigned", fset.Position(n.Pos()))
					}
				}
			case *ast.CompositeLit:
				if id, ok := n.Type.(*ast.Ident); ok && id.Name == "Conn" {
					literals++
				}
			}
			return true
		})
	}
	if literals != 1 {
		t.Errorf("%d literals make a Conn, newConn is to be the only one", literals)
	}
}
