package history

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"unicode/utf8"
)

const (
	// integersLimit and textLimit bound what is recorded of a value, so that its
	// line can be read again.
	integersLimit = 2 << 20
	textLimit     = 16 << 20 // bytes
	nestingLimit  = 64       // lists and maps within each other
)

// A Value is what an operation carries in or out: none, integers (one, a pair, or
// the elements of a collection), or any other JSON value. The zero Value is none.
//
// One integer and a list of it alone are the same Value; so are null, an empty list
// and none. A Value may be used concurrently.
type Value struct {
	integers []int64
	other    *string // JSON as appendJSON writes it; nil if the value is integers
}

// Ints returns the Value of these integers. It does not copy them, so they must not
// be changed while the Value is used.
func Ints(integers ...int64) Value {
	if len(integers) == 0 {
		return Value{}
	}
	return Value{integers: integers}
}

// JSON returns v as a Value, through encoding/json: integers if it is one, or a list
// of them, that fit 64 bits. It panics if v cannot be written as JSON, is nested
// deeper than 64 levels, or has a string that is not UTF-8, since different ones would
// become one; []byte is written as base64.
func JSON(v any) Value {
	if text, ok := v.(string); ok && utf8.ValidString(text) {
		text = string(appendQuoted(nil, text))
		return Value{other: &text}
	}
	text, err := json.Marshal(v)
	unslashed := bytes.ReplaceAll(text, []byte(`\\`), nil)
	if err == nil && bytes.Contains(unslashed, []byte(`\ufffd`)) { // which it writes for nothing else
		err = errors.New("a string is not UTF-8; let it be []byte")
	}
	var value Value
	if err == nil {
		err = value.UnmarshalJSON(text)
	}
	if err != nil {
		panic(fmt.Sprintf("history.JSON of a %T: %v", v, err))
	}
	return value
}

// IsNone reports whether nothing is carried.
func (v Value) IsNone() bool { return len(v.integers) == 0 && v.other == nil }

// Len is the number of integers; 0 also if the value is other JSON.
func (v Value) Len() int { return len(v.integers) }

// At returns the integer at i, from 0. It panics if there is none.
func (v Value) At(i int) int64 { return v.integers[i] }

// Ints returns the integers, which are not to be changed; nil if the value is none
// or other JSON.
func (v Value) Ints() []int64 { return v.integers }

// IsInts reports whether the value is integers or none, and no other JSON.
func (v Value) IsInts() bool { return v.other == nil }

// Equal reports whether both are the same JSON. The order of a map's fields, white
// space and how a character is escaped make no difference; numbers that are no 64-bit
// integers are equal if they are written alike.
func (v Value) Equal(w Value) bool {
	if v.other == nil || w.other == nil {
		return v.other == w.other && slices.Equal(v.integers, w.integers)
	}
	return *v.other == *w.other
}

// String returns JSON: integers as a list, none as []. Equal values have equal strings.
func (v Value) String() string {
	if v.other != nil {
		return *v.other
	}
	return string(v.append(nil))
}

// Decode unmarshals the value into what into points to, as encoding/json does. One
// integer is decoded as such or, if that cannot be, as a list; none as null.
func (v Value) Decode(into any) error {
	switch {
	case v.IsNone():
		return json.Unmarshal([]byte("null"), into)
	case len(v.integers) == 1 && json.Unmarshal(strconv.AppendInt(nil, v.integers[0], 10), into) == nil:
		return nil
	}
	return json.Unmarshal(v.append(nil), into)
}

// Recordable returns an error if the value is too long to be recorded: more than
// 2,097,152 integers, or 16 MiB of other JSON.
func (v Value) Recordable() error {
	switch {
	case len(v.integers) > integersLimit:
		return fmt.Errorf("a value of %d integers is too long to be recorded (at most %d)", len(v.integers), integersLimit)
	case v.other != nil && len(*v.other) > textLimit:
		return fmt.Errorf("a value of %d bytes is too long to be recorded (at most %d)", len(*v.other), textLimit)
	}
	return nil
}

// MarshalJSON writes what String returns.
func (v Value) MarshalJSON() ([]byte, error) { return v.append(nil), nil }

// UnmarshalJSON accepts any JSON that is UTF-8 and nested at most 64 levels deep.
func (v *Value) UnmarshalJSON(text []byte) error {
	if integers, ok := parseIntegers(text); ok {
		*v = Ints(integers...)
		return nil
	}
	var tree any
	if err := decode(text, &tree); err != nil {
		return fmt.Errorf("value %.40q is not JSON: %w", text, err)
	}
	if !utf8.Valid(text) {
		return fmt.Errorf("value %.40q is not UTF-8", text)
	}
	other, err := appendJSON(nil, tree, nestingLimit)
	if err != nil {
		return fmt.Errorf("value %.40q %w", text, err)
	}
	if bytes.ContainsRune(other, utf8.RuneError) && !bytes.ContainsRune(text, utf8.RuneError) {
		return fmt.Errorf("value %.40q has an escape that is no character", text)
	}
	own := string(other)
	*v = Value{other: &own}
	return nil
}

// parseIntegers takes null, an integer, and a list of integers, if each fits 64 bits
// and the text is JSON.
func parseIntegers(text []byte) (integers []int64, ok bool) {
	text = trimLeft(text)
	isList := len(text) > 0 && text[0] == '['
	if isList {
		text = trimLeft(text[1:])
	}
	if rest, empty := bytes.CutPrefix(text, []byte("]")); isList && empty {
		return nil, len(trimLeft(rest)) == 0
	}
	if rest, null := bytes.CutPrefix(text, []byte("null")); !isList && null {
		return nil, len(trimLeft(rest)) == 0
	}
	for {
		integer, length := parseInteger(text)
		if length == 0 {
			return nil, false
		}
		integers = append(integers, integer)
		text = trimLeft(text[length:])
		switch {
		case !isList:
			return integers, len(text) == 0
		case len(text) > 0 && text[0] == ',':
			text = trimLeft(text[1:])
		default:
			return integers, len(text) > 0 && text[0] == ']' && len(trimLeft(text[1:])) == 0
		}
	}
}

func trimLeft(text []byte) []byte { return bytes.TrimLeft(text, " \t\r\n") }

// alwaysFit is of the decimal digits of any integer that fits 64 bits.
const alwaysFit = 18

// parseInteger returns the integer at the beginning of a text, and its length; 0 if
// there is none that fits 64 bits.
func parseInteger(text []byte) (integer int64, length int) {
	sign := len(text) - len(bytes.TrimPrefix(text, []byte("-")))
	length = sign
	for length < len(text) && '0' <= text[length] && text[length] <= '9' {
		integer = 10*integer + int64(text[length]-'0')
		length++
	}
	digits := length - sign
	if digits == 0 || digits > 1 && text[sign] == '0' {
		return 0, 0
	}
	if digits <= alwaysFit {
		return integer * int64(1-2*sign), length
	}
	integer, err := strconv.ParseInt(string(text[:length]), 10, 64)
	if err != nil {
		return 0, 0
	}
	return integer, length
}

// clone has integers of its own.
func (v Value) clone() Value {
	v.integers = slices.Clone(v.integers)
	return v
}

func (v Value) append(to []byte) []byte {
	if v.other != nil {
		return append(to, *v.other...)
	}
	to = append(to, '[')
	for i, integer := range v.integers {
		if i > 0 {
			to = append(to, ',')
		}
		to = strconv.AppendInt(to, integer, 10)
	}
	return append(to, ']')
}

// appendJSON writes equal values alike: fields in order, no white space, and only
// what does not print escaped. The tree may be so many levels deep.
func appendJSON(to []byte, tree any, levels int) (_ []byte, err error) {
	if levels < 0 {
		return nil, fmt.Errorf("is nested deeper than %d levels", nestingLimit)
	}
	switch tree := tree.(type) {
	case nil:
		return append(to, "null"...), nil
	case bool:
		return strconv.AppendBool(to, tree), nil
	case json.Number:
		return append(to, tree...), nil
	case string:
		return appendQuoted(to, tree), nil
	case []any:
		to = append(to, '[')
		for i, element := range tree {
			if i > 0 {
				to = append(to, ',')
			}
			if to, err = appendJSON(to, element, levels-1); err != nil {
				return nil, err
			}
		}
		return append(to, ']'), nil
	}
	fields := tree.(map[string]any)
	to = append(to, '{')
	for i, name := range slices.Sorted(maps.Keys(fields)) {
		if i > 0 {
			to = append(to, ',')
		}
		to = append(appendQuoted(to, name), ':')
		if to, err = appendJSON(to, fields[name], levels-1); err != nil {
			return nil, err
		}
	}
	return append(to, '}'), nil
}
