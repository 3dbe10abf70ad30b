package config

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
)

// maxSize is how many bytes a file may have.
const maxSize = 1 << 20

// Load reads and checks a file. An error is [Diagnostics], unless the file
// could not be read.
func Load(path string) (*File, error) {
	data, err := read(path)
	if err != nil {
		return nil, err
	}
	return parseFile(path, data, thisHost())
}

func read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	return data, nil
}

// parseFile checks a file's text against a system. The name is the file's path:
// for messages, and because relative paths begin at its directory. An error is
// [Diagnostics].
func parseFile(name string, data []byte, sys system) (*File, error) {
	c, err := newChecker(name, data, sys)
	if err != nil {
		return nil, err
	}
	top := &node{kind: isTable, list: slices.Clone(c.root.list)}
	services := c.services(top)
	f := c.decodeFile(name, top, services)
	if len(c.diags) == 0 {
		c.lastWord()
	}
	if len(c.diags) > 0 {
		return nil, c.diags.sort()
	}
	return f, nil
}

// newChecker reads a file's text.
func newChecker(name string, data []byte, sys system) (*checker, error) {
	if len(data) > maxSize {
		message := fmt.Sprintf("the file is larger than %d bytes", maxSize)
		return nil, Diagnostics{{Position: Position{File: name}, Message: message, Suggestion: "is it a configuration?"}}
	}
	abs, err := filepath.Abs(name)
	if err != nil {
		return nil, fmt.Errorf("directory of the configuration: %w", err)
	}
	return &checker{document: parse(name, data), sys: sys, base: filepath.Dir(abs), seen: map[string]*node{}}, nil
}

// decodeFile decodes the tables outside services and those of the services.
func (c *checker) decodeFile(name string, top *node, services []*node) *File {
	f := &File{Name: name}
	dst := reflect.ValueOf(f).Elem()
	fileSchema.fill(dst)
	c.decode(fileSchema, top, "", dst)
	c.log(&f.Log)
	when := c.seen["engine.when-dead"]
	if n := c.seen["engine.dead-after"]; n != nil && (when == nil || when.text == DeadHold) {
		c.complain(n.name, "engine.dead-after", `add engine.when-dead = "open", or remove it`, `engine.dead-after has no meaning without engine.when-dead = "open"`)
	}
	if f.Engine.RuntimeDir != "" {
		f.Engine.RuntimeDir = filepath.Clean(f.Engine.RuntimeDir)
	}
	if f.Engine.BPFFS != "" {
		f.Engine.BPFFS = filepath.Clean(f.Engine.BPFFS)
	}
	c.total = c.seen["log.quota-total"]
	ports := map[uint16]owner{}
	names := map[string]int{}
	var wanted []wanted
	for i, t := range services {
		f.Services = append(f.Services, c.decodeService(t, i, f))
		c.unique(&f.Services[i], names, ports)
		wanted = append(wanted, c.wants(f, &f.Services[i]))
	}
	c.agree(f, wanted)
	return f
}

// services takes the services out of the file's top table.
func (c *checker) services(top *node) []*node {
	i := slices.IndexFunc(top.list, func(n *node) bool { return n.key == "service" })
	if i < 0 {
		i = slices.IndexFunc(top.list, func(n *node) bool {
			near, _ := nearest(n.key, []string{"service", "log", "engine"})
			return near == "service"
		})
		if i >= 0 { // what is in it is worth a look
			c.complain(top.list[i].name, "", `did you mean "service"?`, "unknown key %q", top.list[i].key)
		} else if !c.broken {
			c.complain(0, "service", "add a [[service]] with name, mode and command", "there is no service")
		}
	}
	if i < 0 {
		return nil
	}
	n := top.list[i]
	top.list = slices.Delete(top.list, i, i+1)
	switch {
	case n.kind == isTables:
		return n.list
	case n.kind == isTable:
		c.complain(n.name, "service", "write [[service]]", "service is a list of tables: each begins with [[service]]")
		return []*node{n}
	case n.kind == isArray && !slices.ContainsFunc(n.list, func(t *node) bool { return t.kind != isTable }):
		if len(n.list) == 0 {
			c.complain(n.at, "service", "add a [[service]] with name, mode and command", "there is no service")
		}
		return n.list // service = [{ name = … }] is the same in TOML
	}
	c.complain(n.at, "service", "write [[service]] and the service's keys below", "service is a list of tables; this is %s", n.kind)
	return nil
}

// owner is who has a port, and where the file says so.
type owner struct {
	line   int // of its [[service]]
	label  string
	offset int
}

// unique checks that no other service has the name or a port. It wants what
// decodeService has left of the service.
func (c *checker) unique(s *Service, names map[string]int, ports map[uint16]owner) {
	if n := c.seen["name"]; n != nil && s.Name != "" {
		if offset, taken := names[s.Name]; taken {
			c.complain(n.at, "service.name", "choose another one", "the name %q is taken by the service at line %d", s.Name, c.position(offset).Line)
		} else {
			names[s.Name] = n.at
		}
	}
	n := c.seen["listen"]
	if n == nil {
		return
	}
	for _, item := range n.list {
		a, p := parseAddress(item.text)
		if p != nil || item.kind != isString {
			continue
		}
		if other, taken := ports[a.Port()]; !taken {
			ports[a.Port()] = owner{s.Position.Line, c.label, item.at}
		} else if other.line != s.Position.Line {
			c.diags = append(c.diags, Diagnostic{
				Position: c.position(item.at), Service: c.label, Key: "service.listen",
				Message:    fmt.Sprintf("listen: port %d is taken by service %s at line %d", a.Port(), other.label, c.position(other.offset).Line),
				Suggestion: "a port belongs to one service, whatever the address",
			})
		}
	}
}
