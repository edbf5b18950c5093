package history

import (
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
)

// A line that the scanner takes is the same to decode.
func FuzzScan(f *testing.F) {
	for _, seed := range []string{
		`{"time":1200345,"process":3,"type":"invoke","op":"write","key":"x","value":[41,-7],"node":"n1"}` + "\n",
		`{"time":2301460,"process":4,"type":"info","op":"read","key":"x","error":"i/o timeout"}`,
		`{"time":2500000,"type":"end"}` + "\n",
		`{"time":01,"type":"end"}`, `{"time":-0,"type":"a\tb"}`, `{"time":1,"type":"a\\tb"}`, `{"time":1,"type":"é"}`, `{"time":1,"type":"end"}}`,
		`{"time":1,"type":"ok","value":[]}`, `{"time":1,"type":"ok","value":[1,]}`, `{"time":1,"type":"ok","value":[9223372036854775808]}`, `{"time":1,"type":"ok","value":["a"]}`,
		`{"time":1,"type":"ok","value":[1]`, `{"time":1,"type":"ok","value":[1`, `{"time":1,"type":"ok"`, `{"time":1,"type":"ok","op`, `{"time":1,"type":""}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		var got, want record
		if !new(scanner).scan(line, &got) {
			return
		}
		if err := decode(line, &want); err != nil {
			t.Fatalf("%q was taken, though %v", line, err)
		}
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Fatalf("%q: %s", line, diff)
		}
	})
}

// The scanner takes what the recorder writes of operations with integers.
func TestScanTakes(t *testing.T) {
	var s scanner
	for _, op := range staleRead {
		for _, line := range [][]byte{appendInvoke(nil, &op), appendComplete(nil, &op, op.Error), appendEnd(nil, op.Complete)} {
			if !s.scan(line, new(record)) {
				t.Errorf("%q was left to decode", line)
			}
		}
	}
	long := Operation{Kind: ReadAll, Output: Ints(make([]int64, 100_000)...)}
	var first, second record
	if line := appendComplete(nil, &long, ""); !s.scan(line, &first) || first.Value.Len() != 100_000 || !s.scan(appendInvoke(nil, &staleRead[0]), &second) || first.Value.At(0) != 0 {
		t.Errorf("a long value was read as one of %d", first.Value.Len())
	}
}
