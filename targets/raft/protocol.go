package raft

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// The protocol is one line each way, fields separated by one space.
//
//	read KEY             ok VALUE | none
//	write KEY VALUE      ok
//	cas KEY OLD NEW      ok | mismatch VALUE | mismatch
//	add ELEMENT          ok
//	elements             ok ELEMENT …
//	barrier              ok, once the leader has committed and applied everything before
//	leader               leader NODE TERM
//
// Instead of these, a node may answer
//
//	redirect NODE        not done; the other node leads
//	fail REASON          not done, and never will be
//	unknown REASON       may or may not be done, now or later
//	error REASON         not understood, not done; the connection is closed
//
// A KEY is 1 to 128 printable ASCII characters without space; numbers are
// decimal, of 64 bits, signed. Requests are at most 4 KiB long.
const (
	maxKey     = 128
	maxRequest = 4 << 10
	maxAnswer  = 16 << 20
)

// shapes gives what follows a request's verb: a key, the old value of a
// compare-and-set, a (new) value or element.
var shapes = map[string]string{
	"read":     "k",
	"write":    "kv",
	"cas":      "kov",
	"add":      "v",
	"elements": "",
	"barrier":  "",
	"leader":   "",
}

// A request is a line from a client and, if it changes state, a command in the
// log.
type request struct {
	verb       string
	key        string
	old, value int64
}

func parseRequest(line string) (request, error) {
	verb, rest, more := strings.Cut(line, " ")
	shape, known := shapes[verb]
	if !known {
		return request{}, fmt.Errorf("unknown request %.20q (want read, write, cas, add, elements, barrier or leader)", verb)
	}
	var fields []string
	if more {
		fields = strings.Split(rest, " ")
	}
	if len(fields) != len(shape) {
		return request{}, fmt.Errorf("%s has %d arguments, want %d", verb, len(fields), len(shape))
	}
	r := request{verb: verb}
	for i, field := range fields {
		var err error
		switch shape[i] {
		case 'k':
			r.key, err = field, checkKey(field)
		case 'o':
			r.old, err = strconv.ParseInt(field, 10, 64)
		case 'v':
			r.value, err = strconv.ParseInt(field, 10, 64)
		}
		if err != nil {
			return request{}, fmt.Errorf("%s: %w", verb, err)
		}
	}
	return r, nil
}

// String is what parseRequest reads.
func (r request) String() string {
	line := r.verb
	for _, field := range shapes[r.verb] {
		switch field {
		case 'k':
			line += " " + r.key
		case 'o':
			line += " " + strconv.FormatInt(r.old, 10)
		case 'v':
			line += " " + strconv.FormatInt(r.value, 10)
		}
	}
	return line
}

func checkKey(key string) error {
	if key == "" || len(key) > maxKey {
		return fmt.Errorf("key of %d bytes (want 1 to %d)", len(key), maxKey)
	}
	for _, c := range []byte(key) {
		if c <= ' ' || c > '~' {
			return fmt.Errorf("key %q has a byte that is not printable ASCII, or a space", key)
		}
	}
	return nil
}

// An answer is a node's line. Its rest is what follows the verb.
type answer struct{ verb, rest string }

func ok(values ...int64) answer {
	var rest []byte
	for i, value := range values {
		if i > 0 {
			rest = append(rest, ' ')
		}
		rest = strconv.AppendInt(rest, value, 10)
	}
	return answer{"ok", string(rest)}
}

func fail(format string, arguments ...any) answer {
	return answer{"fail", fmt.Sprintf(format, arguments...)}
}

func parseAnswer(line string) answer {
	verb, rest, _ := strings.Cut(line, " ")
	return answer{verb, rest}
}

func (a answer) String() string {
	if a.rest == "" {
		return a.verb
	}
	// An answer is one line, whatever the error said that it quotes.
	return a.verb + " " + strings.ReplaceAll(a.rest, "\n", " ")
}

// values reads the numbers of an ok or mismatch answer.
func (a answer) values() ([]int64, error) {
	var values []int64
	for field := range strings.FieldsSeq(a.rest) {
		value, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("answer %.40q: %w", a, err)
		}
		values = append(values, value)
	}
	return values, nil
}

// lines scans whole lines. One that the stream's end cuts off is dropped: the
// beginning of a number is a number too.
func lines(r io.Reader, limit int) *bufio.Scanner {
	scanner := bufio.NewScanner(r)
	scanner.Buffer(nil, limit)
	scanner.Split(func(data []byte, _ bool) (int, []byte, error) {
		if end := bytes.IndexByte(data, '\n'); end >= 0 {
			return end + 1, data[:end], nil
		}
		return 0, nil, nil
	})
	return scanner
}
