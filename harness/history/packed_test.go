package history

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// registers is a history with all that Packed has a place for; the last operation is open.
const registers = `{"rashomon":"history","version":2}
{"time":0,"process":-1,"type":"invoke","op":"write","key":"b","value":[9223372036854775807],"node":"n2"}
{"time":5,"process":3,"type":"invoke","op":"cas","key":"a","value":[-9223372036854775808,7],"node":"n1"}
{"time":5,"process":-1,"type":"ok","op":"write","key":"b"}
{"time":6,"process":-1,"type":"invoke","op":"read","key":"b"}
{"time":7,"process":3,"type":"fail","op":"cas","key":"a","value":[8]}
{"time":8,"process":3,"type":"invoke","op":"write","key":"a","value":[1],"node":"n1"}
{"time":9,"process":3,"type":"info","op":"write","key":"a","error":"timeout"}
{"time":9,"process":-1,"type":"ok","op":"read","key":"b","value":[9223372036854775807]}
{"time":70000000000,"process":900,"type":"invoke","op":"read","node":"n1"}
`

func TestPacked(t *testing.T) {
	for _, end := range []string{"", `{"time":70000000001,"type":"end"}`, `{"time":7000`} {
		whole, err := ReadHistory(strings.NewReader(registers + end))
		if err != nil {
			t.Fatal(err)
		}
		packed, err := ReadPacked(strings.NewReader(registers + end))
		if err != nil || packed.Packed == nil || packed.Operations != nil {
			t.Fatalf("not packed: %v", err)
		}
		if diff := cmp.Diff(whole, packed.Unpacked()); diff != "" {
			t.Errorf("(-whole +unpacked)\n%s", diff)
		}
		var each []Operation
		for o := range packed.Each() {
			o := *o
			o.Input, o.Output = o.Input.clone(), o.Output.clone()
			each = append(each, o)
		}
		slices.SortFunc(each, func(a, b Operation) int { return int(a.Invoke - b.Invoke) })
		if diff := cmp.Diff(whole.Operations, each); diff != "" {
			t.Errorf("(-whole +each)\n%s", diff)
		}
		operations, first, last, latest := whole.Span()
		if n, f, l, e := packed.Span(); n != operations || f != first || l != last || e != latest {
			t.Errorf("the span is %d, %d, %d, %d, want %d, %d, %d, %d", n, f, l, e, operations, first, last, latest)
		}
		if parts := packed.Packed.Parts(3); !cmp.Equal(parts, [][]string{{"", "a"}, {"b"}}) {
			t.Errorf("the parts are %q", parts)
		}
	}
}

// What Packed has no place for is read as a whole.
func TestNotPacked(t *testing.T) {
	for what, line := range map[string]string{
		"another kind":          `{"time":70000000002,"process":1,"type":"invoke","op":"add","key":"s","value":[1]}`,
		"too many values":       `{"time":70000000002,"process":1,"type":"invoke","op":"write","key":"a","value":[1,2]}`,
		"a value of text":       `{"time":70000000002,"process":1,"type":"invoke","op":"write","key":"a","value":"one"}`,
		"a version":             `{"time":70000000002,"process":900,"type":"ok","op":"read","value":[1,2]}`,
		"a text that was read":  `{"time":70000000002,"process":900,"type":"ok","op":"read","value":"one"}`,
		"two at the same time":  `{"time":70000000000,"process":1,"type":"invoke","op":"read","key":"a"}`,
		"the end of all times":  `{"time":9223372036854775807,"process":900,"type":"ok","op":"read"}`,
		"an end that is no end": `{"time":9223372036854775807,"type":"end"}`,
	} {
		whole, err := ReadHistory(strings.NewReader(registers + line))
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		got, err := ReadPacked(strings.NewReader(registers + line))
		if diff := cmp.Diff(whole, got); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got)\n%s", what, err, diff)
		}
	}
}

// Whatever is read, the packed history is the same, or the same is wrong with it.
func FuzzPacked(f *testing.F) {
	f.Add([]byte(registers))
	f.Add([]byte(registers + `{"time":1,"type":"end"}`))
	f.Add([]byte(strings.Replace(registers, "-1", "3", 1)))
	f.Fuzz(func(t *testing.T, text []byte) {
		whole, want := ReadHistory(bytes.NewReader(text))
		packed, err := ReadPacked(bytes.NewReader(text))
		if (err == nil) != (want == nil) || err != nil && err.Error() != want.Error() {
			t.Fatalf("%v, want %v", err, want)
		}
		got := packed.Unpacked()
		if len(got.Operations) != len(whole.Operations) || got.Torn != whole.Torn {
			t.Fatalf("%d operations, want %d; torn %q, want %q", len(got.Operations), len(whole.Operations), got.Torn, whole.Torn)
		}
		for i, o := range got.Operations {
			if diff := cmp.Diff(whole.Operations[i], o); diff != "" {
				t.Fatalf("operation %d: (-want +got)\n%s", i, diff)
			}
		}
	})
}
