package demo

import (
	"fmt"
	"strings"
	"time"

	"github.com/ftnet/ftnet/internal/bytesize"
)

// Style says how to draw.
type Style struct {
	Width int  // columns; 0 means 80
	Color bool // ANSI colours
}

const (
	labelWidth = 11 // "client 12  "
	statsWidth = 20
)

const (
	bold   = "1"
	dim    = "2"
	red    = "31"
	green  = "32"
	yellow = "33"
)

func (st Style) paint(code, text string) string {
	if !st.Color || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// Frame draws the story as lines of text, none wider than the style's width.
func (s *Story) Frame(st Style, title string) []string {
	if st.Width <= 0 {
		st.Width = 80
	}
	cols := max(10, st.Width-labelWidth-statsWidth-1)
	if bins := int(s.Length / binWidth); bins >= 10 {
		cols = min(cols, bins) // a finer picture has gaps
	}
	lines := []string{
		st.paint(bold, title) + st.paint(dim, fmt.Sprintf("   %.1f s of %.0f s", s.Elapsed.Seconds(), s.Length.Seconds())),
		"",
		label("kill -9") + s.killLine(st, cols),
	}
	for i, c := range s.Latest.Clients {
		lines = append(lines, label(fmt.Sprintf("client %d", i+1))+s.rows[i].draw(st, cols, s)+" "+s.clientStats(st, i, c))
	}
	if v := s.Latest.Visitors; len(s.rows) > 0 && (v.Connections > 0 || v.Errors > 0) {
		lines = append(lines, label("newcomers")+s.rows[len(s.rows)-1].draw(st, cols, s)+" "+
			fmt.Sprintf("%5d in ", v.Connections)+pauseText(st, v))
	}
	r := s.Result()
	server := st.paint(yellow, "restarting")
	if s.PID != 0 {
		server = fmt.Sprintf("pid %d", s.PID)
	}
	errors := st.paint(green, "0 errors")
	if r.Errors > 0 {
		errors = st.paint(red, plural(uint64(r.Errors), "error"))
	}
	return append(lines, "",
		fmt.Sprintf("server %s   killed %s   %s replies   %s", server, times(r.Kills), thousands(r.Replies), errors))
}

func label(text string) string { return fmt.Sprintf("%-*s", labelWidth, text) }

// column is where a moment stands in a picture of that many columns.
func (s *Story) column(at time.Duration, cols int) int {
	length := max(s.Length, s.Elapsed+binWidth)
	return min(cols-1, int(int64(cols)*int64(at)/int64(length)))
}

// killLine has a cross where the server was killed.
func (s *Story) killLine(st Style, cols int) string {
	marks := make([]bool, cols)
	for _, at := range s.Kills {
		marks[s.column(at, cols)] = true
	}
	now := s.column(s.Elapsed, cols)
	b := brush{st: st}
	for i, kill := range marks {
		switch {
		case kill:
			b.add(red, "✖")
		case i <= now:
			b.add(dim, "─")
		default:
			b.add("", " ")
		}
	}
	return b.finish()
}

var levels = []rune("▁▂▃▄▅▆▇")

// draw makes a bar for each column: its height is the replies in that time,
// its colour the longest wait. An error is a cross.
func (r *row) draw(st Style, cols int, s *Story) string {
	merged := make([]bin, cols)
	count := make([]int, cols)
	for i, b := range r.bins {
		c := s.column(time.Duration(i)*binWidth, cols)
		merged[c].replies += b.replies
		merged[c].waited = max(merged[c].waited, b.waited)
		merged[c].errors += b.errors
		count[c]++
	}
	top := 0.0
	for i, b := range merged {
		if count[i] > 0 {
			top = max(top, float64(b.replies)/float64(count[i]))
		}
	}
	out := brush{st: st}
	for i, b := range merged {
		switch {
		case count[i] == 0:
			out.add("", " ")
		case b.errors > 0:
			out.add(red, "x")
		case b.replies == 0 && b.waited < slow: // nobody asked
			out.add(dim, "·")
		case b.replies == 0:
			out.add(red, "·")
		default:
			height := float64(b.replies) / float64(count[i]) / top
			bar := string(levels[min(len(levels)-1, int(height*float64(len(levels))))])
			code := green
			if b.waited >= slow {
				code = yellow
			}
			out.add(code, bar)
		}
	}
	return out.finish()
}

// brush joins neighbours of one colour, which makes frames a fifth as long.
type brush struct {
	done       strings.Builder
	code, text string
	st         Style
}

func (b *brush) add(code, text string) {
	if code != b.code {
		b.finish()
		b.code = code
	}
	b.text += text
}

func (b *brush) finish() string {
	if b.code == "" {
		b.done.WriteString(b.text)
	} else {
		b.done.WriteString(b.st.paint(b.code, b.text))
	}
	b.text = ""
	return b.done.String()
}

// clientStats are the rate of the last second and the longest pause.
func (s *Story) clientStats(st Style, i int, c ClientReport) string {
	n, bins := uint64(0), s.rows[i].bins
	last := bins[max(0, len(bins)-int(time.Second/binWidth)):]
	for _, b := range last {
		n += b.replies
	}
	rate := float64(n) / (time.Duration(max(1, len(last))) * binWidth).Seconds()
	return fmt.Sprintf("%5.0f/s ", rate) + pauseText(st, c)
}

func pauseText(st Style, c ClientReport) string {
	if c.Errors > 0 {
		return st.paint(red, plural(uint64(c.Errors), "error"))
	}
	text := fmt.Sprintf("max %6s", short(c.Longest))
	if c.Waiting >= slow {
		return st.paint(yellow, text)
	}
	return text
}

// Table is the end of the show.
func (r Result) Table(st Style) []string {
	line := func(name, value string) string { return fmt.Sprintf("  %-26s %s", name, value) }
	errors := st.paint(green, "0")
	if r.Errors > 0 {
		errors = st.paint(red, fmt.Sprintf("%d (last: %s)", r.Errors, r.LastError))
	}
	crashes := line("crashes survived", st.paint(bold, fmt.Sprintf("%d of %d", max(0, min(r.Kills, r.Starts-1)), r.Kills)))
	if r.Errors > 0 {
		crashes = line("crashes", fmt.Sprintf("%d, and clients noticed", r.Kills))
	}
	return []string{
		crashes,
		line("connections", fmt.Sprintf("%d (%d opened while it went on)", r.Connections, r.Visitors)),
		line("replies, each checked", thousands(r.Replies)),
		line("bytes", bytesize.Size(r.Bytes).String()),
		line("errors", errors),
		line("longest wait for a reply", short(r.Longest)),
	}
}

// Summary is one line for those who do not look at pictures.
func (s *Story) Summary() string {
	r := s.Result()
	return fmt.Sprintf("%s, %s replies, %s, longest wait %s", plural(uint64(r.Connections), "connection"),
		thousands(r.Replies), plural(uint64(r.Errors), "error"), short(r.Longest))
}

func short(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return fmt.Sprintf("%d µs", d.Microseconds())
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000)
	case d < 10*time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

func thousands(n uint64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func plural(n uint64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return thousands(n) + " " + what + "s"
}

func times(n int) string {
	switch n {
	case 1:
		return "once"
	case 2:
		return "twice"
	}
	return fmt.Sprintf("%d times", n)
}
