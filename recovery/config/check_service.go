package config

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ftnet/ftnet/internal/policy"
)

// NewService returns a service with the defaults.
func NewService(name string, mode Mode, command ...string) Service {
	var s Service
	serviceSchema.fill(reflect.ValueOf(&s).Elem())
	s.Name, s.Mode, s.Command = name, mode, command
	return s
}

// Defaults returns what a file says that has no service.
func Defaults() (Log, Engine) {
	var f File
	fileSchema.fill(reflect.ValueOf(&f).Elem())
	return f.Log, f.Engine
}

// Check judges a service as a file that says the same is judged, but for what is on this
// machine, and fills in what follows from other keys. An error is [Diagnostics], without
// positions.
func (s *Service) Check() error {
	c := &checker{document: &document{}, seen: map[string]*node{}}
	table, v, def := &node{kind: isTable}, reflect.ValueOf(s).Elem(), NewService("", "")
	for i := range serviceSchema.keys {
		k := &serviceSchema.keys[i]
		if k.alias {
			continue
		}
		if n := k.says(k.of(v), k.of(reflect.ValueOf(&def).Elem())); n != nil {
			table.add(n)
		}
	}
	decoded := c.decodeService(table, 0, &File{})
	if len(c.diags) > 0 {
		return c.diags
	}
	s.Ready = decoded.Ready
	return nil
}

// says is what a file has to say so that a field has its value; nil if that is the
// default.
func (k *key) says(v, def reflect.Value) *node {
	switch {
	case k.kind == aLimit:
		l, ok := v.Interface().(Limits)[leaf(k.path)]
		if !ok {
			return nil
		}
		return k.node(l.String())
	case reflect.DeepEqual(v.Interface(), def.Interface()), k.kind == aSignal && v.IsZero(): // that which ftnet got
		return nil
	}
	var n *node
	switch x := v.Interface().(type) {
	case []string:
		n = k.node(append([]string{""}, x...)...)
		n.list = n.list[1:]
	case map[string]string:
		n = &node{kind: isTable, key: k.path}
		for _, name := range slices.Sorted(maps.Keys(x)) {
			n.list = append(n.list, &node{kind: isString, key: name, text: x[name]})
		}
	case syscall.Signal:
		n = k.node(unix.SignalName(x))
	case time.Duration:
		n = k.node(x.String())
	case fmt.Stringer: // of package policy
		n = k.node(x.String())
	default:
		n = k.node(fmt.Sprint(x))
	}
	if k.kind == aChoice {
		n.key = serviceSchema.choosing(k, n.text)
	}
	if k.kind == aSize && strings.HasPrefix(n.text, "-") {
		n.kind = isInteger
	}
	return n
}

// decodeService reads one [[service]].
func (c *checker) decodeService(t *node, index int, f *File) Service {
	c.seen, c.prefix = map[string]*node{}, "service."
	c.service = "#" + strconv.Itoa(index+1)
	if n := t.child("name"); n != nil && n.kind == isString && n.text != "" {
		c.service = strconv.Quote(n.text)
	}
	c.label = c.service
	defer func() { c.service, c.prefix = "", "" }()

	s := Service{Position: c.position(t.at)}
	dst := reflect.ValueOf(&s).Elem()
	serviceSchema.fill(dst)
	before := len(c.diags)
	c.decode(serviceSchema, t, "", dst)
	c.require(serviceSchema, t.at)
	usable := func(path string) bool { // it is there and right
		return c.seen[path] != nil && !slices.ContainsFunc(c.diags[before:], func(d Diagnostic) bool { return d.Key == c.prefix+path })
	}
	c.modes(&s, usable, t)
	c.ranges(&s, f)
	if dirOK := c.directory(&s); usable("command") && dirOK {
		s.Binary, _ = c.program("command", s.Command[0], s.Dir)
	}
	c.readiness(&s, usable)
	return s
}

// modes checks what belongs to one of the two modes only.
func (c *checker) modes(s *Service, usable func(string) bool, t *node) {
	if c.seen["log.idle"] != nil && c.seen["log.since"] == nil {
		c.complain(c.seen["log.idle"].name, "log.idle", `write log = { since = "idle", idle = … }`, `log.idle has no meaning without log.since = "idle"`)
	}
	if n := c.seen["log.down-after"]; n != nil && s.Log.WhenDown != policy.DownUnprotect && (c.seen["log.when-down"] == nil || usable("log.when-down")) {
		c.complain(n.name, "log.down-after", `add log.when-down = "unprotect", or remove it`, `log.down-after has no meaning without log.when-down = "unprotect"`)
	}
	if !usable("mode") {
		return
	}
	if s.Mode == ModeUnmodified {
		if c.seen["listen"] == nil && !c.broken {
			c.complain(t.at, "listen", `add for example listen = [":7000"]`, `"listen" is missing: which ports an unmodified server uses cannot be known`)
		}
		return
	}
	if n := c.seen["compare"]; n != nil {
		c.complain(n.name, "compare", "remove it, and set ftnet.ListenConfig.Compare in the server", `compare has no meaning with mode = "listen"`)
	}
	switch {
	case usable("log.since"):
		c.complainOf("log.since", `use log = "full", or mode = "unmodified"`,
			`log.since = %q needs mode = "unmodified": a server that calls ftnet.Listen is replayed from its first read`, s.Log.Keep)
	case usable("log") && s.Log.Keep == policy.LogOff:
		c.complainOf("log", "a server that calls net.Listen in place of ftnet.Listen has the same", `log = "off" needs mode = "unmodified"`)
	}
}

// ranges checks numbers against each other.
func (c *checker) ranges(s *Service, f *File) {
	if s.Restart.Backoff > s.Restart.BackoffMax {
		path := "restart.backoff"
		if c.seen[path] == nil {
			path = "restart.backoff-max"
		}
		c.complainOf(path, "raise restart.backoff-max", "restart.backoff, %s, is above restart.backoff-max, %s",
			showDuration(s.Restart.Backoff), showDuration(s.Restart.BackoffMax))
	}
	if total := f.Log.QuotaTotal; total != 0 && s.Quota > total {
		const suggestion = "raise log.quota-total or lower quota"
		if c.seen["quota"] != nil {
			c.complainOf("quota", suggestion, "quota is above log.quota-total")
		} else if c.total != nil {
			c.complain(c.total.at, "", suggestion, "log.quota-total is below quota, whose default is 64MiB")
		}
	}
}

// readiness checks that the probe has what it needs, and nothing else.
func (c *checker) readiness(s *Service, usable func(string) bool) {
	needs := map[string]Probe{"ready.address": ProbeTCP, "ready.command": ProbeCommand}
	for _, path := range []string{"ready.address", "ready.command"} {
		if n := c.seen[path]; n != nil && s.Ready.Probe != needs[path] {
			c.complain(n.name, path, fmt.Sprintf("add probe = %q", needs[path]), "%s has no meaning with the probe %q", path, s.Ready.Probe)
		}
	}
	at := "ready.probe"
	if c.seen[at] == nil {
		at = "ready"
	}
	switch s.Ready.Probe {
	case ProbeTCP:
		if c.seen["ready.address"] == nil && len(s.Listen) > 0 {
			s.Ready.Address = s.Listen[0]
		} else if c.seen["ready.address"] == nil {
			c.complainOf(at, "add ready.address or listen", `the probe "tcp" has no address to connect to`)
		}
	case ProbeCommand:
		if c.seen["ready.command"] == nil {
			c.complainOf(at, `add for example ready.command = ["/usr/local/bin/is-web-up"]`, `the probe "command" has no command to run`)
		} else if usable("ready.command") {
			c.program("ready.command", s.Ready.Command[0], s.Dir)
		}
	}
}
