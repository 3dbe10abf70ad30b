package demo

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"
)

// Screen shows a story while it happens.
type Screen interface {
	// Draw shows the present state. It is called several times a second.
	Draw(*Story)
	// Event tells of one thing that has just happened.
	Event(at time.Duration, text string)
	// Close leaves the last state visible. It may be called twice.
	Close()
}

// NewScreen makes the screen that suits out: pictures on a terminal that can
// draw them, plain lines otherwise.
func NewScreen(out io.Writer, title string) Screen {
	f, ok := out.(*os.File)
	if ok && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb" {
		return &terminal{out: out, title: title, color: os.Getenv("NO_COLOR") == "", width: func() int {
			w, _, err := term.GetSize(int(f.Fd()))
			if err != nil {
				return 80
			}
			return min(w, 160)
		}}
	}
	fmt.Fprintln(out, title)
	return &lines{out: out}
}

// terminal draws over its last frame.
type terminal struct {
	out    io.Writer
	title  string
	color  bool
	width  func() int
	height int  // lines of the last frame
	hidden bool // the cursor
}

const (
	hideCursor = "\x1b[?25l\x1b[?7l" // and no line wrap
	showCursor = "\x1b[?7h\x1b[?25h"
	clearLine  = "\x1b[K"
	clearBelow = "\x1b[J"
)

func (t *terminal) Draw(s *Story) {
	var b strings.Builder
	if !t.hidden {
		b.WriteString(hideCursor)
		t.hidden = true
	}
	if t.height > 0 {
		fmt.Fprintf(&b, "\x1b[%dA\r", t.height)
	}
	frame := s.Frame(Style{Width: t.width(), Color: t.color}, t.title)
	for _, line := range frame {
		b.WriteString(line + clearLine + "\n")
	}
	b.WriteString(clearBelow)
	t.height = len(frame)
	io.WriteString(t.out, b.String()) // a broken terminal is no reason to stop
}

func (t *terminal) Event(time.Duration, string) {}

func (t *terminal) Close() {
	if t.hidden {
		t.hidden = false
		io.WriteString(t.out, showCursor)
	}
}

// lines prints what happens, and a summary every second.
type lines struct {
	out  io.Writer
	next time.Duration
}

func (l *lines) Draw(s *Story) {
	if s.Elapsed >= l.next {
		if l.next > 0 {
			l.Event(s.Elapsed, s.Summary())
		}
		l.next = s.Elapsed.Truncate(time.Second) + time.Second
	}
}

func (l *lines) Event(at time.Duration, text string) {
	fmt.Fprintf(l.out, "%6.2f s  %s\n", at.Seconds(), text)
}

func (l *lines) Close() {}

// NewStyle is the style that suits out.
func NewStyle(out io.Writer) Style {
	f, ok := out.(*os.File)
	return Style{Color: ok && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb" && os.Getenv("NO_COLOR") == ""}
}
