package raftredis

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRequests(t *testing.T) {
	long := strings.Repeat("x", 5000)
	for name, test := range map[string]struct {
		text string
		want [][]string
		err  error
	}{
		"array":            {"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", [][]string{{"GET", "k"}}, io.EOF},
		"any bytes":        {"*2\r\n$4\r\n\r\n\x00\xff\r\n$0\r\n\r\n", [][]string{{"\r\n\x00\xff", ""}}, io.EOF},
		"several":          {"*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nINFO\r\n", [][]string{{"PING"}, {"INFO"}}, io.EOF},
		"by hand":          {"get  k\r\n\r\nset k 'a b'\n", [][]string{{"get", "k"}, {"set", "k", "a b"}}, io.EOF},
		"long":             {string(encode("SET", long)), [][]string{{"SET", long}}, io.EOF},
		"nothing":          {"*0\r\n*1\r\n$4\r\nPING\r\n", [][]string{{"PING"}}, io.EOF},
		"torn":             {"*1\r\n$4\r\nPI", nil, io.ErrUnexpectedEOF},
		"not a string":     {"*1\r\n:4\r\n", nil, errProtocol},
		"endless":          {"*1\r\n$9000000\r\n" + strings.Repeat("x", 2*maxRequest), nil, errProtocol},
		"endless line":     {strings.Repeat("x", 2*maxRequest), nil, errProtocol},
		"too many words":   {"*9000000000000000000\r\n", nil, io.ErrUnexpectedEOF},
		"overflow":         {"*1\r\n$9223372036854775807\r\nx", nil, errProtocol},
		"negative":         {"*1\r\n$-2147483648\r\nx", nil, errProtocol},
		"unbalanced quote": {"get 'k\n", nil, errProtocol},
	} {
		t.Run(name, func(t *testing.T) {
			r := requests{from: strings.NewReader(test.text)}
			var got [][]string
			for {
				request, err := r.next()
				if err == nil {
					got = append(got, request)
					continue
				}
				if diff := cmp.Diff(test.want, got); diff != "" || !errors.Is(err, test.err) {
					t.Errorf("%v, want %v %s", err, test.err, diff)
				}
				return
			}
		})
	}
}

// Whatever arrives, in whatever pieces, reading it ends, and what is read means
// the same again.
func FuzzRequests(f *testing.F) {
	for _, seed := range []string{"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", "get k\n", "*1\r\n$9223372036854775807\r\nx", "$5 GET k\r\n", "*-1\r\n", "\r\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		r := requests{from: bytes.NewReader(text)}
		for {
			request, err := r.next()
			if err != nil {
				return
			}
			again, rest, err := cut(encode(request...))
			if diff := cmp.Diff(request, again); diff != "" || len(rest) > 0 || err != nil {
				t.Fatalf("%q: %v, %q left: %s", request, err, rest, diff)
			}
		}
	})
}
