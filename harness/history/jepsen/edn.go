package jepsen

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/rashomon-io/rashomon/harness/history"
)

// The bounds of one operation's text.
const (
	sizeLimit    = 64 << 20 // bytes
	elementLimit = 4 << 20  // values, at any depth
	depthLimit   = 100      // collections in collections
)

// A datum is one EDN value.
type datum struct {
	kind kind
	// text is the content of a string, the name of a keyword, symbol or tag, or
	// a literal as it was written.
	text string
	// number is an integer's.
	number int64
	// items are a collection's; of a mapping keys and values in turns; of a
	// tagged value the one behind the tag.
	items []datum
}

type kind uint8

const (
	absent kind = iota // the zero datum: there is none
	null
	integer
	text
	keyword
	symbol  // true and false, too
	literal // an integer beyond 64 bits, a fraction, a character, a regular expression
	vector
	list
	set
	mapping
	tagged
)

// An ednReader reads EDN (github.com/edn-format/edn), and what Clojure's printer
// writes beyond it: fractions, ##NaN, regular expressions, namespaced maps. It
// reads JSON too, whose colons are then white space; names of members that are
// integers, as those of accounts can be, become integers.
//
// The library olympos.io/encoding/edn refuses these, which Jepsen writes into
// the :error and :exception of operations; it names no lines, and deep nesting
// ends the whole program.
type ednReader struct {
	in   *bufio.Reader
	json bool
	line int // of the next byte, from 1
	// size and elements are what the operation that is being read has so far.
	size, elements int
}

func newEDNReader(r io.Reader) *ednReader {
	return &ednReader{in: bufio.NewReaderSize(r, 64<<10), line: 1}
}

// errCutOff means that the file ends inside a value.
var errCutOff = errors.New("the file ends inside a value")

func (r *ednReader) fault(format string, args ...any) error {
	return &history.LineError{Line: r.line, Err: fmt.Errorf(format, args...)}
}

// next returns the next byte; inside a value, the end of the file is errCutOff.
func (r *ednReader) next() (byte, error) {
	c, err := r.in.ReadByte()
	if err == io.EOF {
		return 0, errCutOff
	}
	if err != nil {
		return 0, r.fault("%w", err)
	}
	if r.size++; r.size > sizeLimit {
		return 0, r.fault("one operation is longer than %d MiB", sizeLimit>>20)
	}
	if c == '\n' {
		r.line++
	}
	return c, nil
}

// back takes back the byte that next returned last.
func (r *ednReader) back(c byte) {
	_ = r.in.UnreadByte() // cannot fail after a ReadByte
	r.size--
	if c == '\n' {
		r.line--
	}
}

func isSpace(c byte) bool { return c <= ' ' || c == ',' }

func endsToken(c byte) bool { return isSpace(c) || strings.IndexByte(`()[]{}";`, c) >= 0 }

// begin skips white space, comments and discarded values, and returns the byte
// after them.
func (r *ednReader) begin(depth int) (byte, error) {
	if depth > depthLimit {
		return 0, r.fault("values are nested more than %d deep", depthLimit)
	}
	for {
		c, err := r.next()
		switch {
		case err != nil:
			return 0, err
		case isSpace(c), c == ':' && r.json:
		case c == ';':
			for c != '\n' {
				if c, err = r.next(); err != nil {
					return 0, err
				}
			}
		case c == '#':
			if after, err := r.in.Peek(1); err != nil || after[0] != '_' {
				return c, nil
			}
			if _, err := r.next(); err != nil {
				return 0, err
			}
			if _, err := r.value(depth + 1); err != nil {
				return 0, err
			}
		default:
			return c, nil
		}
	}
}

// value reads one value.
func (r *ednReader) value(depth int) (datum, error) {
	c, err := r.begin(depth)
	if err != nil {
		return datum{}, err
	}
	return r.valueFrom(c, depth)
}

// valueFrom reads the value whose first byte, c, is read already.
func (r *ednReader) valueFrom(c byte, depth int) (datum, error) {
	if r.elements++; r.elements > elementLimit {
		return datum{}, r.fault("one operation has more than %d values", elementLimit)
	}
	switch c {
	case '(':
		return r.collection(list, ')', depth)
	case '[':
		return r.collection(vector, ']', depth)
	case '{':
		return r.mapping(depth)
	case '"':
		return r.quoted()
	case '#':
		return r.dispatch(depth)
	case '\\':
		c, err := r.next()
		if err != nil {
			return datum{}, err
		}
		rest, err := r.token()
		return datum{kind: literal, text: `\` + string([]byte{c}) + rest}, err
	case ')', ']', '}', '\'', '`', '~', '@', '^':
		return datum{}, r.fault("unexpected %q", c)
	}
	r.back(c)
	token, err := r.token()
	if err != nil {
		return datum{}, err
	}
	if r.json && token == "null" {
		token = "nil"
	}
	return scalar(token), nil
}

func (r *ednReader) mapping(depth int) (datum, error) {
	d, err := r.collection(mapping, '}', depth)
	if err == nil && len(d.items)%2 != 0 {
		err = r.fault("a map has a key without a value")
	}
	for i := 0; r.json && i < len(d.items); i += 2 {
		if name := scalar(d.items[i].text); d.items[i].kind == text && name.kind == integer {
			d.items[i] = name
		}
	}
	return d, err
}

// token reads up to what ends a token. The end of the file does, too.
func (r *ednReader) token() (string, error) {
	var b strings.Builder
	for {
		c, err := r.next()
		switch {
		case err == errCutOff:
			return b.String(), nil
		case err != nil:
			return "", err
		case endsToken(c):
			r.back(c)
			return b.String(), nil
		}
		b.WriteByte(c)
	}
}

func scalar(token string) datum {
	if name, ok := strings.CutPrefix(token, ":"); ok {
		return datum{kind: keyword, text: name}
	}
	if token == "nil" {
		return datum{kind: null}
	}
	if digits := strings.TrimLeft(token, "+-"); digits == "" || digits[0] < '0' || digits[0] > '9' {
		return datum{kind: symbol, text: token}
	}
	if number, err := strconv.ParseInt(strings.TrimSuffix(token, "N"), 10, 64); err == nil {
		return datum{kind: integer, number: number}
	}
	return datum{kind: literal, text: token}
}

func (r *ednReader) collection(kind kind, end byte, depth int) (datum, error) {
	d := datum{kind: kind}
	for {
		c, err := r.begin(depth)
		if err != nil || c == end {
			return d, err
		}
		item, err := r.valueFrom(c, depth+1)
		if err != nil {
			return d, err
		}
		d.items = append(d.items, item)
	}
}

// dispatch reads what follows a number sign.
func (r *ednReader) dispatch(depth int) (datum, error) {
	c, err := r.next()
	if err != nil {
		return datum{}, err
	}
	switch {
	case c == '{':
		return r.collection(set, '}', depth)
	case c == '"':
		d, err := r.raw()
		return datum{kind: literal, text: `#"` + d + `"`}, err
	case endsToken(c) || c == '\'' || c == '\\':
		return datum{}, r.fault("unexpected %q after #", c)
	}
	r.back(c)
	token, err := r.token()
	if err != nil {
		return datum{}, err
	}
	if c == '#' { // ##NaN, ##Inf
		return datum{kind: literal, text: "#" + token}, nil
	}
	d, err := r.value(depth + 1)
	return datum{kind: tagged, text: token, items: []datum{d}}, err
}

// raw reads the rest of a regular expression, in which a backslash only keeps
// the byte after it from ending it.
func (r *ednReader) raw() (string, error) {
	var b strings.Builder
	for {
		c, err := r.next()
		if err != nil || c == '"' {
			return b.String(), err
		}
		b.WriteByte(c)
		if c == '\\' {
			if c, err = r.next(); err != nil {
				return "", err
			}
			b.WriteByte(c)
		}
	}
}

// escapes are those of a single letter.
var escapes = map[byte]byte{'n': '\n', 't': '\t', 'r': '\r', 'b': '\b', 'f': '\f', '"': '"', '\\': '\\', '/': '/'}

// quoted reads the rest of a string.
func (r *ednReader) quoted() (datum, error) {
	var b []byte
	first := rune(0) // the unit of UTF-16 before this byte, if it was escaped
	for {
		c, err := r.next()
		if err != nil || c == '"' {
			return datum{kind: text, text: string(b)}, err
		}
		if c != '\\' {
			b, first = append(b, c), 0
			continue
		}
		if c, err = r.next(); err != nil {
			return datum{}, err
		}
		letter, known := escapes[c]
		switch {
		case known:
			b, first = append(b, letter), 0
		case c == 'u':
			unit, err := r.codeUnit()
			if err != nil {
				return datum{}, err
			}
			b, first = appendCodeUnit(b, first, unit), unit
		default:
			return datum{}, r.fault("unknown escape \\%c in a string", c)
		}
	}
}

// codeUnit reads the four digits of an escape.
func (r *ednReader) codeUnit() (rune, error) {
	var hex [4]byte
	for i := range hex {
		var err error
		if hex[i], err = r.next(); err != nil {
			return 0, err
		}
	}
	code, err := strconv.ParseUint(string(hex[:]), 16, 16)
	if err != nil {
		return 0, r.fault("unknown escape \\u%q in a string", hex)
	}
	return rune(code), nil
}

// appendCodeUnit adds a unit of UTF-16, which strings of Java and JavaScript are
// made of. The second half of a surrogate pair makes a character of both. A half
// that is alone is no character, and becomes three bytes, which are no UTF-8, so
// that it differs from all others.
func appendCodeUnit(to []byte, before, unit rune) []byte {
	if both := utf16.DecodeRune(before, unit); both != utf8.RuneError {
		return utf8.AppendRune(to[:len(to)-3], both)
	}
	if utf16.IsSurrogate(unit) {
		return append(to, 0xe0|byte(unit>>12), 0x80|byte(unit>>6)&0x3f, 0x80|byte(unit)&0x3f)
	}
	return utf8.AppendRune(to, unit)
}

// field returns the value that a map has under a keyword, or a string; the zero
// datum if it has none.
func (d datum) field(name string) datum {
	for i := 0; d.kind == mapping && i < len(d.items); i += 2 {
		if key := d.items[i]; (key.kind == keyword || key.kind == text) && key.text == name {
			return d.items[i+1]
		}
	}
	return datum{}
}

// untagged is the value behind any tags.
func (d datum) untagged() datum {
	for d.kind == tagged {
		d = d.items[0]
	}
	return d
}

// String is the datum as EDN, the same for all that Clojure calls equal.
func (d datum) String() string { return string(d.append(nil)) }

func (d datum) append(to []byte) []byte {
	switch d.kind {
	case absent, null:
		return append(to, "nil"...)
	case integer:
		return strconv.AppendInt(to, d.number, 10)
	case text:
		return appendString(to, d.text)
	case keyword:
		return append(append(to, ':'), d.text...)
	case vector, list:
		return append(appendItems(append(to, '['), d.items, 1), ']')
	case set:
		return append(appendItems(append(to, "#{"...), sorted(d.items, 1), 1), '}')
	case mapping:
		return append(appendItems(append(to, '{'), sorted(d.items, 2), 2), '}')
	case tagged:
		to = append(append(to, '#'), d.text...)
		return d.items[0].append(append(to, ' '))
	}
	return append(to, d.text...)
}

func appendItems(to []byte, items []datum, width int) []byte {
	for i, item := range items {
		if i > 0 && i%width == 0 && width > 1 {
			to = append(to, ',')
		}
		if i > 0 {
			to = append(to, ' ')
		}
		to = item.append(to)
	}
	return to
}

// sorted orders groups of width items by their text.
func sorted(items []datum, width int) []datum {
	var groups []string
	byText := map[string][]datum{}
	for group := range slices.Chunk(items, width) {
		name := group[0].String()
		if byText[name] == nil {
			groups = append(groups, name)
		}
		byText[name] = append(byText[name], group...)
	}
	slices.Sort(groups)
	ordered := make([]datum, 0, len(items))
	for _, name := range groups {
		ordered = append(ordered, byText[name]...)
	}
	return ordered
}

// appendString writes an EDN string. Bytes that are not UTF-8 stay what they are.
func appendString(to []byte, s string) []byte {
	to = append(to, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			to = append(to, '\\', c)
		case c == '\n':
			to = append(to, `\n`...)
		case c < ' ' || c == 0x7f:
			to = fmt.Appendf(to, `\u%04x`, c)
		default:
			to = append(to, c)
		}
	}
	return append(to, '"')
}
