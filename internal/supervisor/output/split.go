package output

import (
	"bytes"
	"unicode/utf8"
)

// maxLine is how long a line may be, in bytes; what is longer is cut into
// several.
const maxLine = 16 << 10

// splitter makes lines of what is read. It keeps what is not a whole line yet.
type splitter struct {
	rest []byte
	emit func(text []byte, partial bool) // text is valid until it returns
}

// write takes what was read next.
func (s *splitter) write(p []byte) {
	for len(p) > 0 {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			s.add(p)
			return
		}
		s.add(p[:i])
		s.end()
		p = p[i+1:]
	}
}

// add takes bytes without a newline. It leaves at most maxLine in rest: a line
// of exactly that length is whole if its newline comes next.
func (s *splitter) add(p []byte) {
	for len(s.rest)+len(p) > maxLine {
		room := maxLine - len(s.rest)
		s.rest = append(s.rest, p[:room]...)
		p = p[room:]
		n := cut(s.rest)
		s.emit(s.rest[:n], true)
		s.rest = append(s.rest[:0], s.rest[n:]...)
	}
	s.rest = append(s.rest, p...)
}

// end ends a line at its newline. A carriage return before it belongs to the
// newline.
func (s *splitter) end() {
	s.emit(bytes.TrimSuffix(s.rest, []byte{'\r'}), false)
	s.rest = s.rest[:0]
}

// flush passes on what there is of a line. It reports whether there was any.
func (s *splitter) flush() bool {
	if len(s.rest) == 0 {
		return false
	}
	s.emit(s.rest, true)
	s.rest = s.rest[:0]
	return true
}

// cut returns how many bytes of a line that is too long to take, so that no
// character is split.
func cut(p []byte) int {
	for n := len(p); n > len(p)-utf8.UTFMax && n > 0; n-- {
		if utf8.RuneStart(p[n-1]) {
			if utf8.FullRune(p[n-1:]) {
				return len(p)
			}
			return n - 1
		}
	}
	return len(p) // not UTF-8
}
