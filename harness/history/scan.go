package history

import (
	"bytes"
	"time"
)

// A scanner takes events from lines that have the very form in which this package
// writes most of them: text that needs no escapes, and values that are integers. It
// leaves all others to decode, which takes each line that it takes, for the same.
// Texts that occur again share their memory.
type scanner struct {
	texts    map[string]string
	integers []int64 // room for values
	time     time.Duration
	process  int

	rest  []byte // of the line
	wrong bool   // the line is of another form
}

// parse takes any line. The record is valid until the next call, its value for ever.
func (s *scanner) parse(line []byte, r *record) error {
	if s.scan(line, r) {
		return nil
	}
	*r = record{}
	return decode(line, r)
}

func (s *scanner) scan(line []byte, r *record) bool {
	s.rest, s.wrong = line, false
	s.need(`{"time":`)
	s.time = time.Duration(s.integer())
	r.Time = &s.time
	if s.skip(`,"process":`) {
		s.process = int(s.integer())
		r.Process = &s.process
	}
	s.need(`,"type":`)
	r.Type = s.text()
	if s.skip(`,"op":`) {
		r.Kind = Kind(s.text())
	}
	if s.skip(`,"key":`) {
		r.Key = s.text()
	}
	if s.skip(`,"value":[`) {
		r.Value = s.value()
	}
	if s.skip(`,"node":`) {
		r.Node = s.text()
	}
	if s.skip(`,"error":`) {
		r.Error = s.text()
	}
	s.need("}")
	s.skip("\n")
	return !s.wrong && len(s.rest) == 0
}

func (s *scanner) skip(what string) bool {
	if len(s.rest) < len(what) || string(s.rest[:len(what)]) != what {
		return false
	}
	s.rest = s.rest[len(what):]
	return true
}

func (s *scanner) need(what string) { s.wrong = !s.skip(what) || s.wrong }

func (s *scanner) integer() int64 {
	integer, length := parseInteger(s.rest)
	s.wrong = s.wrong || length == 0
	s.rest = s.rest[length:]
	return integer
}

// text takes a JSON string of printable ASCII without escapes.
func (s *scanner) text() string {
	s.need(`"`)
	end := bytes.IndexByte(s.rest, '"')
	if end < 0 {
		s.wrong = true
		return ""
	}
	text := s.rest[:end]
	s.rest = s.rest[end+1:]
	if known, ok := s.texts[string(text)]; ok {
		return known
	}
	for _, c := range text {
		if c < ' ' || c > '~' || c == '\\' {
			s.wrong = true
			return ""
		}
	}
	if s.texts == nil {
		s.texts = map[string]string{}
	}
	own := string(text)
	s.texts[own] = own
	return own
}

// value takes the rest of a list of integers.
func (s *scanner) value() Value {
	const room = 4096
	if cap(s.integers)-len(s.integers) < 2 {
		s.integers = make([]int64, 0, room)
	}
	from := len(s.integers)
	for more := true; more && !s.wrong; more = s.skip(",") {
		s.integers = append(s.integers, s.integer())
	}
	s.need("]")
	value := s.integers[from:len(s.integers):len(s.integers)]
	if cap(s.integers) > room { // a long list is alone in its memory
		s.integers = nil
	}
	return Ints(value...)
}
