package agent

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestBadRequests(t *testing.T) {
	for line, want := range map[string]string{
		``:         "EOF",
		`{`:        "unexpected EOF",
		`[]`:       "cannot unmarshal array",
		`{"id":1}`: "0 things are asked for",
		`{"id":1,"hello":{},"signal":{"signal":9}}`:                                             "2 things are asked for",
		`{"id":1,"reboot":{}}`:                                                                  "unknown field",
		`{"id":1,"hello":{}} {}`:                                                                "something follows",
		`{"id":-1,"hello":{}}`:                                                                  "cannot unmarshal number -1",
		`{"id":1,"links":{"condition":{}}}`:                                                     "no peers",
		`{"id":1,"links":{"peers":["fe80::1"]}}`:                                                "not an IPv4 address",
		`{"id":1,"links":{"peers":["n1"]}}`:                                                     "unable to parse IP",
		`{"id":1,"links":{"peers":[""]}}`:                                                       "not an IPv4 address",
		`{"id":1,"links":{"peers":["10.0.0.1"],"condition":{"cut":"half"}}}`:                    "unknown cut",
		`{"id":1,"links":{"peers":["10.0.0.1"],"condition":{"loss":1.1}}}`:                      "out of range",
		`{"id":1,"links":{"peers":["10.0.0.1"],"condition":{"corrupt":-0.1}}}`:                  "out of range",
		`{"id":1,"links":{"peers":["10.0.0.1"],"condition":{"delay_ns":-1}}}`:                   "out of range",
		`{"id":1,"links":{"peers":["10.0.0.1"],"condition":{"jitter_ns":9000000000000000000}}}`: "out of range",
		`{"id":1,"links":{"peers":["10.0.0.1"],"condition":{"bytes_per_second":-1}}}`:           "negative",
		`{"id":1,"signal":{"process":"redis-server","signal":15}}`:                              "is not one of",
		`{"id":1,"signal":{"process":"/bin/sh","signal":9}}`:                                    "not a process name",
	} {
		if _, err := parseRequest([]byte(line)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want an error with %q", line, err, want)
		}
	}
}

// What is accepted says the same when it is written and read again.
func FuzzParseRequest(f *testing.F) {
	f.Add([]byte(`{"id":1,"hello":{}}`))
	f.Add([]byte(`{"id":2,"links":{"peers":["10.0.0.1","10.0.0.2"],"condition":{"cut":"reset","delay_ns":50000000,"jitter_ns":1,"normal":true,"loss":0.5}}}`))
	f.Add([]byte(`{"id":3,"signal":{"process":"redis-server","signal":19}}`))
	f.Add([]byte(`{"id":4,"clock":{"clock":{"offset_ns":-1,"drift":1e-3,"strobe_ns":5,"monotonic":true}}}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		request, err := parseRequest(line)
		if err != nil {
			if diff := cmp.Diff(Request{ID: request.ID}, request); diff != "" {
				t.Errorf("an error, and yet a request:\n%s", diff)
			}
			return
		}
		text, err := json.Marshal(request)
		if err != nil {
			t.Fatal(err)
		}
		again, err := parseRequest(text)
		if diff := cmp.Diff(request, again, cmpopts.EquateComparable(netip.Addr{}), cmpopts.EquateEmpty()); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", text, err, diff)
		}
	})
}

func TestReadLineSkipsWhatIsTooLong(t *testing.T) {
	in := bufio.NewReaderSize(strings.NewReader("a\n"+strings.Repeat("x", 3*maxLine)+"\nb\n"), maxLine)
	if line, err := readLine(in); string(line) != "a\n" || err != nil {
		t.Errorf("got %q, %v", line, err)
	}
	if _, err := readLine(in); !errors.Is(err, errLongLine) {
		t.Errorf("got %v, want %v", err, errLongLine)
	}
	if line, err := readLine(in); string(line) != "b\n" || err != nil {
		t.Errorf("got %q, %v", line, err)
	}
	if _, err := readLine(in); err != io.EOF {
		t.Errorf("got %v, want the end", err)
	}
}
