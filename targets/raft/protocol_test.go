package raft

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rashomon-io/rashomon/checker"
)

func TestParseRequest(t *testing.T) {
	tests := []struct {
		line string
		want request
		err  string
	}{
		{line: "read k", want: request{verb: "read", key: "k"}},
		{line: "write k -7", want: request{verb: "write", key: "k", value: -7}},
		{line: "cas k 1 2", want: request{verb: "cas", key: "k", old: 1, value: 2}},
		{line: "add 9223372036854775807", want: request{verb: "add", value: 9223372036854775807}},
		{line: "elements", want: request{verb: "elements"}},
		{line: "leader", want: request{verb: "leader"}},
		{line: "", err: "unknown request"},
		{line: "drop k", err: "unknown request"},
		{line: "read", err: "has 0 arguments, want 1"},
		{line: "read ", err: "key of 0 bytes"},
		{line: "read k l", err: "has 2 arguments, want 1"},
		{line: "elements ", err: "has 1 arguments, want 0"},
		{line: "read k\x00", err: "not printable"},
		{line: "read ü", err: "not printable"},
		{line: "read " + strings.Repeat("k", 129), err: "key of 129 bytes"},
		{line: "write k 1.5", err: "invalid syntax"},
		{line: "add 9223372036854775808", err: "out of range"},
	}
	for _, test := range tests {
		got, err := parseRequest(test.line)
		if test.err != "" {
			if err == nil || !strings.Contains(err.Error(), test.err) {
				t.Errorf("parse %q: error %v, want one with %q", test.line, err, test.err)
			}
			continue
		}
		if err != nil || got != test.want {
			t.Errorf("parse %q: %+v, %v, want %+v", test.line, got, err, test.want)
		}
	}
}

func FuzzParseRequest(f *testing.F) {
	for _, line := range []string{"read k", "write k 1", "cas k 1 2", "add -1", "elements", "add +1", "read  k", "cas k 1"} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		r, err := parseRequest(line)
		if err != nil {
			return
		}
		if again, err := parseRequest(r.String()); err != nil || again != r {
			t.Errorf("%q is %+v, written %q, read %+v, %v", line, r, r, again, err)
		}
		// Whatever is accepted can be applied.
		newState().apply(r)
	})
}

func TestLinesDropWhatIsCutOff(t *testing.T) {
	scanner := lines(strings.NewReader("write k 41\nwrite k 4"), maxRequest)
	var got []string
	for scanner.Scan() {
		got = append(got, scanner.Text())
	}
	if diff := cmp.Diff([]string{"write k 41"}, got); diff != "" || scanner.Err() != nil {
		t.Error(diff, scanner.Err())
	}
}

func TestOptions(t *testing.T) {
	stale := []string{string(checker.StaleRead)}
	tests := []struct {
		text   string
		want   Options
		name   string
		expect []string
		err    string
	}{
		{text: "", name: "raft"},
		{text: "reads=linearizable", want: Options{Reads: Linearizable}, name: "raft"},
		{text: "reads=local", want: Options{Reads: Local}, name: "raft reads=local", expect: stale},
		{text: "reads=any", want: Options{Reads: Any}, name: "raft reads=any", expect: stale},
		{text: "bug=blind-cas", want: Options{Bug: BlindCAS}, name: "raft bug=blind-cas"},
		{text: "reads=local,bug=no-fsync", want: Options{Reads: Local, Bug: NoFsync}, name: "raft reads=local,bug=no-fsync", expect: stale},
		{text: "reads=some", err: `reads="some" is not possible (want reads=linearizable, reads=local or reads=any)`},
		{text: "bug=", err: `no bug "" is planted`},
		{text: "read=any", err: `unknown option "read=any"`},
		{text: "reads=any,", err: `unknown option ""`},
	}
	for _, test := range tests {
		options, err := ParseOptions(test.text)
		if test.err != "" {
			if err == nil || !strings.Contains(err.Error(), test.err) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%q: error %v, want one with %q", test.text, err, test.err)
			}
			continue
		}
		target := Target(options)
		if err != nil || options != test.want || target.String() != test.name || !slices.Equal(target.Claim.Expect, test.expect) {
			t.Errorf("%q: %+v, %v, %q expecting %q", test.text, options, err, target, target.Claim.Expect)
		}
	}
}
