package jepsen

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"olympos.io/encoding/edn"

	"github.com/rashomon-io/rashomon/harness/history"
)

// What Clojure's printer writes is read, and printed so that equal values are
// equal.
func TestEDN(t *testing.T) {
	for text, want := range map[string]string{
		`nil`: `nil`, `true`: `true`, `-7`: `-7`, `+7`: `7`, `7N`: `7`, `1.50M`: `1.50M`, `1/2`: `1/2`, `##NaN`: `##NaN`,
		`99999999999999999999`: `99999999999999999999`, `\space`: `\space`, `\(`: `\(`, `\é`: `\é`, `:a/b`: `:a/b`, `a.b/c`: `a.b/c`, `-`: `-`,
		`"a\"\\\n\té\u00e9"`: `"a\"\\\n\u0009éé"`, `#"a\"b"`: `#"a\"b"`,
		`(1 2)`: `[1 2]`, `[1,2 ]`: `[1 2]`, `#{3 1 2}`: `#{1 2 3}`, `{:b 1 :a [2]}`: `{:a [2], :b 1}`, `{[1 2] 3}`: `{[1 2] 3}`,
		`#_ 1 2`: `2`, `[1 #_ #_ 2 3]`: `[1]`, "; c\n1": `1`, `#inst "x"`: `#inst "x"`, `#:a{:b 1}`: `#:a {:b 1}`,
		`"\uD83D\uDE00"`: `"😀"`, `"\uD83D"`: "\"\xed\xa0\xbd\"", `"\uDE00\uD83D"`: "\"\xed\xb8\x80\xed\xa0\xbd\"", "\"\xff\"": "\"\xff\"", `"\/"`: `"/"`,
		`#object[java.lang.Object 0x4a "x"]`: `#object [java.lang.Object 0x4a "x"]`,
	} {
		d, err := newEDNReader(strings.NewReader(text)).value(0)
		if err != nil || d.String() != want {
			t.Errorf("%s became %s, %v; want %s", text, d, err, want)
		}
	}
}

func TestJSON(t *testing.T) {
	for text, want := range map[string]string{
		`null`: `nil`, `true`: `true`, `-7`: `-7`, `1.5e3`: `1.5e3`, `"a\u00e9\/"`: `"aé/"`, `[1, [2], null]`: `[1 [2] nil]`,
		`{"b":1,"a":null}`: `{"a" nil, "b" 1}`, `{"1": 100, "2":{"x" : [true,false]}}`: `{1 100, 2 {"x" [true false]}}`,
	} {
		r := newEDNReader(strings.NewReader(text))
		r.json = true
		d, err := r.value(0)
		if err != nil || d.String() != want {
			t.Errorf("%s became %s, %v; want %s", text, d, err, want)
		}
	}
}

func TestBounds(t *testing.T) {
	for _, test := range []struct{ begin, then, want string }{
		{`"`, "a", "longer than 64 MiB"},
		{"[", "1 ", "more than 4194304 values"},
		{"", "[", "nested more than 100 deep"},
		{"", "#_", "nested more than 100 deep"},
		{"", "#a ", "nested more than 100 deep"},
	} {
		text := io.MultiReader(strings.NewReader(test.begin), &endless{test.then})
		if _, err := newEDNReader(text).value(0); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q", test.then, err, test.want)
		}
	}
}

// endless repeats a text for ever.
type endless struct{ text string }

func (e *endless) Read(p []byte) (int, error) {
	return copy(p, strings.Repeat(e.text, len(p)/len(e.text)+1)[:len(p)/len(e.text)*len(e.text)]), nil
}

func seeds(f *testing.F) {
	names, err := filepath.Glob("testdata/*.*")
	if err != nil || len(names) == 0 {
		f.Fatalf("no seeds: %v", err)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
}

// Whatever is read without an error can be written and read again.
func FuzzRead(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, options := range []Options{{Model: "total-queue"}, {Model: "versioned-register"}, {Model: "bank", Initial: "{0 1, \"a\" 2}"}, {Model: "bank", Total: "1", Independent: No}} {
			if _, err := Read(bytes.NewReader(text), options); err != nil && strings.Contains(err.Error(), "\n") {
				t.Errorf("%q is more than a line", err)
			}
		}
		made, err := Read(bytes.NewReader(text), Options{})
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("%q is more than a line", err)
			}
			return
		}
		for _, o := range made.History.Operations {
			if o.Complete < o.Invoke || o.Outcome > history.Fail {
				t.Fatalf("bad operation %+v", o)
			}
		}
		var jsonl, again bytes.Buffer
		run := &history.Run{History: made.History, Events: made.Events}
		if err := history.WriteHistory(&jsonl, made.History); err != nil {
			t.Fatalf("not a history: %v", err)
		}
		if err := Write(&again, run); err != nil {
			t.Fatal(err)
		}
		independent := No
		for _, o := range made.History.Operations {
			if o.Key != made.History.Operations[0].Key {
				independent = Yes
			}
		}
		if len(made.History.Operations) == 0 {
			return
		}
		repeated, err := Read(&again, Options{Model: made.Model, Independent: independent})
		if err != nil || len(repeated.History.Operations) != len(made.History.Operations) {
			t.Fatalf("%d operations became %d, %v", len(made.History.Operations), len(repeated.History.Operations), err)
		}
	})
}

// The reader accepts what the library olympos.io/encoding/edn accepts of the
// values that operations are made of, and never ends the program.
func FuzzEDN(f *testing.F) {
	seeds(f)
	for _, text := range []string{`{:a [1 #{2} (3)] "b" nil}`, `#_ #_ 1 2 [\a -0]`, `"\u00e9"`, "[" + strings.Repeat("[", 300)} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) > 1<<12 || bytes.Count(text, []byte("[")) > depthLimit/2 {
			_, _ = newEDNReader(bytes.NewReader(text)).value(0) // does not panic
			return
		}
		d, err := newEDNReader(bytes.NewReader(text)).value(0)
		if err != nil {
			return
		}
		printed := d.String()
		again, err := newEDNReader(strings.NewReader(printed)).value(0)
		if err != nil || again.String() != printed {
			t.Errorf("%q was printed as %q and became %q, %v", text, printed, again, err)
		}
		var peer any
		if d.kind != integer || edn.Unmarshal(text, &peer) != nil {
			return
		}
		if number, ok := peer.(int64); ok && number != d.number {
			t.Errorf("%q is %d, and %d to the library", text, d.number, number)
		}
	})
}

// Whatever JSON encoding/json accepts is read, and the same strings are equal.
func FuzzJSON(f *testing.F) {
	for _, text := range []string{`{"process":0,"type":"ok","f":"write","value":1}`, `[null,{"1":[true,1.5e3]}]`, `"\ud83d\ude00\ud83d"`, `{"a":"b\/:","":""}`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		r := newEDNReader(bytes.NewReader(text))
		r.json = true
		d, err := r.value(0)
		if !json.Valid(text) || bytes.Count(text, []byte("["))+bytes.Count(text, []byte("{")) > depthLimit/2 {
			return // but did not end the program
		}
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		var peer string
		if json.Unmarshal(text, &peer) == nil && string(text[:1]) != "n" && utf8.ValidString(d.text) && peer != d.text {
			t.Errorf("%q is %q, and %q to the library", text, d.text, peer)
		}
	})
}

const benchLine = `{:type :invoke, :f :write, :value 3, :process 0, :time 123456789, :index 4}` + "\n"

// BenchmarkRead measures reading, an operation of the benchmark being a line.
func BenchmarkRead(b *testing.B) {
	var text bytes.Buffer
	for i := range 10_000 {
		for _, what := range []string{"invoke", "ok"} {
			fmt.Fprintf(&text, "{:type :%s, :f :write, :value %d, :process %d, :time %d, :index 4}\n", what, i, i%10, text.Len())
		}
	}
	b.SetBytes(int64(text.Len()) / 20_000)
	b.ReportAllocs()
	for n := 0; n < b.N; n += 20_000 {
		if _, err := Read(bytes.NewReader(text.Bytes()), Options{}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkLibrary is olympos.io/encoding/edn, decoding the line alone.
func BenchmarkLibrary(b *testing.B) {
	b.SetBytes(int64(len(benchLine)))
	b.ReportAllocs()
	decoder := edn.NewDecoder(&endless{benchLine})
	for range b.N {
		var value any
		if err := decoder.Decode(&value); err != nil {
			b.Fatal(err)
		}
	}
}
