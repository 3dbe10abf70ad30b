package backend

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// Kind is where a log is kept.
type Kind string

// Kinds of logs, as URLs begin.
const (
	Memory Kind = "memory" // of this process: "memory:"
	Disk   Kind = "file"   // of this host: "file:///var/lib/ftnet"
	Remote Kind = "ftlog"  // a log server: "ftlog://host:port"
)

// URL names a log.
type URL struct {
	Kind Kind
	Dir  string // of Disk; absolute
	Host string // of Remote: a name or an IP address
	Port string // of Remote: a number
}

// Address is where a log server listens, HOST:PORT.
func (u URL) Address() string { return net.JoinHostPort(u.Host, u.Port) }

// String returns the URL as it would be written.
func (u URL) String() string {
	switch u.Kind {
	case Disk:
		return (&url.URL{Scheme: string(Disk), Path: u.Dir}).String()
	case Remote:
		return string(Remote) + "://" + u.Address()
	}
	return "memory:"
}

// URLError is returned by [Parse] for a text that names no log.
type URLError struct {
	Text       string
	Problem    string // what is wrong; may be empty
	Suggestion string // what to do
}

func (e *URLError) Error() string {
	text := fmt.Sprintf("%q is not the URL of a log", e.Text)
	if e.Problem != "" {
		text += ": " + e.Problem
	}
	return text + " (" + e.Suggestion + ")"
}

const known = `"memory:", "file:///DIRECTORY" or "ftlog://HOST:PORT"`

// Parse reads a URL. An error is a *URLError.
func Parse(text string) (URL, error) {
	wrong := func(problem, suggestion string, args ...any) (URL, error) {
		return URL{}, &URLError{Text: text, Problem: problem, Suggestion: fmt.Sprintf(suggestion, args...)}
	}
	scheme, rest, ok := strings.Cut(text, ":")
	switch lower := strings.ToLower(scheme); {
	case text == "":
		return wrong("it is empty", "use %s", known)
	case strings.HasPrefix(text, "/"):
		return wrong("", "did you mean %q?", URL{Kind: Disk, Dir: filepath.Clean(text)}.String())
	case text == "memory:":
		return URL{Kind: Memory}, nil
	case lower == "memory" || lower == "ram" || strings.HasPrefix(lower, "mem") && rest == "":
		return wrong("", `did you mean "memory:"?`)
	case !ok:
		return wrong("", "use %s", known)
	case scheme == string(Disk):
		return parseDisk(text, rest, wrong)
	case scheme == string(Remote):
		return parseRemote(text, rest, wrong)
	case lower == "file" || lower == "ftlog":
		return wrong("", "did you mean %q?", lower+":"+rest)
	case strings.HasPrefix(rest, "//"):
		return wrong(fmt.Sprintf("there is no backend %q", scheme+":"), "use %s", known)
	default: // HOST:PORT
		if _, err := strconv.ParseUint(rest, 10, 16); err == nil {
			return wrong("", "did you mean %q?", "ftlog://"+text)
		}
		return wrong(fmt.Sprintf("there is no backend %q", scheme+":"), "use %s", known)
	}
}

// fail makes the result for a text that is wrong.
type fail func(problem, suggestion string, args ...any) (URL, error)

func parseDisk(text, rest string, wrong fail) (URL, error) {
	u, err := url.Parse(text)
	switch {
	case !strings.HasPrefix(rest, "/"):
		return wrong("the directory is not written from the root", `write for example "file:///var/lib/ftnet"`)
	case err != nil:
		return wrong("it cannot be read", `write for example "file:///var/lib/ftnet", with %%25 for a percent sign`)
	case u.Host != "":
		return wrong(fmt.Sprintf("%q stands where a host would", u.Host), "did you mean %q?", "file:///"+strings.TrimLeft(rest, "/"))
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return wrong("", "remove what begins with %q", text[strings.IndexAny(text, "?#"):])
	case strings.ContainsRune(u.Path, 0):
		return wrong("it contains a NUL byte", "remove it")
	case filepath.Clean(u.Path) == "/":
		return wrong("it names the root directory", `write for example "file:///var/lib/ftnet"`)
	}
	return URL{Kind: Disk, Dir: filepath.Clean(u.Path)}, nil
}

var hostForm = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_.-]{0,252})$`)

func parseRemote(text, rest string, wrong fail) (URL, error) {
	address, ok := strings.CutPrefix(rest, "//")
	address = strings.TrimSuffix(address, "/")
	if !ok {
		return wrong("", "did you mean %q?", "ftlog://"+strings.TrimLeft(rest, "/"))
	}
	if i := strings.IndexAny(address, "/?#@"); i >= 0 {
		return wrong("it has more than host and port", `write "ftlog://HOST:PORT"`)
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		if ip, err := netip.ParseAddr(address); err == nil && ip.Is6() {
			return wrong("an IPv6 address needs brackets", `write "ftlog://[%s]:PORT"`, address)
		}
		return wrong("the port is missing", `write "ftlog://%s:PORT"`, strings.TrimSuffix(address, ":"))
	}
	n, err := strconv.ParseUint(port, 10, 16)
	ip, ipErr := netip.ParseAddr(host)
	switch {
	case err != nil || n == 0:
		return wrong("the port must be a number from 1 to 65535", `write "ftlog://%s"`, net.JoinHostPort(host, "PORT"))
	case host == "":
		return wrong("the host is missing", `write "ftlog://HOST:%s"`, port)
	case ipErr != nil && !hostForm.MatchString(host):
		return wrong(fmt.Sprintf("%q is neither a host's name nor an IP address", host), `write "ftlog://HOST:%s"`, port)
	case ipErr == nil && ip.IsUnspecified():
		return wrong("no host has this address", `write "ftlog://HOST:%s"`, port)
	}
	return URL{Kind: Remote, Host: host, Port: strconv.FormatUint(n, 10)}, nil
}
