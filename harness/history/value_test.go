package history

import (
	"encoding/json"
	"math"
	"reflect"
	"strings"
	"testing"
)

func TestValues(t *testing.T) {
	var none []int64
	for _, test := range []struct {
		value any
		text  string
		len   int // -1 if it is other JSON
	}{
		{nil, "[]", 0},
		{[]int{}, "[]", 0},
		{none, "[]", 0},
		{7, "[7]", 1},
		{uint8(7), "[7]", 1},
		{int64(math.MinInt64), "[-9223372036854775808]", 1},
		{[]int{7}, "[7]", 1},
		{[2]int64{math.MaxInt64, -1}, "[9223372036854775807,-1]", 2},
		{json.RawMessage(" [ 1 , 2 ] "), "[1,2]", 2},
		{uint64(math.MaxUint64), "18446744073709551615", -1},
		{[]any{1, nil}, "[1,null]", -1},
		{1.5, "1.5", -1},
		{true, "true", -1},
		{"", `""`, -1},
		{"7", `"7"`, -1},
		{"a\n\"<\u200b\U0001f600é", `"a\n\"<\u200b😀é"`, -1},
		{[]string{"\ufffd", `\ufffd`}, "[\"\ufffd\",\"\\\\ufffd\"]", -1},
		{[]byte("\xff"), `"/w=="`, -1},
		{[]string{"b", "a"}, `["b","a"]`, -1},
		{[][]int{{1}, {}}, "[[1],[]]", -1},
		{map[string]any{"b": 1, "a": []any{map[string]int{}}}, `{"a":[{}],"b":1}`, -1},
		{struct {
			Name string
			N    int `json:"n"`
		}{"x", 1}, `{"Name":"x","n":1}`, -1},
		{json.RawMessage(`{"a":1.50,"a":2e3}`), `{"a":2e3}`, -1},
	} {
		v := JSON(test.value)
		if got := v.String(); got != test.text {
			t.Errorf("%v is %s, want %s", test.value, got, test.text)
		}
		if v.IsInts() != (test.len >= 0) || v.Len() != max(test.len, 0) || len(v.Ints()) != v.Len() || v.IsNone() != (test.len == 0) {
			t.Errorf("%s has %d integers, and is none: %v", v, v.Len(), v.IsNone())
		}
		var again Value
		if err := json.Unmarshal([]byte(v.String()), &again); err != nil || !again.Equal(v) || !reflect.DeepEqual(again, v) {
			t.Errorf("%s was read as %s, %v", v, again, err)
		}
	}
}

func TestEqualValues(t *testing.T) {
	values := []Value{{}, Ints(1), Ints(1, 2), Ints(2, 1), JSON("1"), JSON("2"), JSON([]string{}), JSON(1.5), JSON(map[string]int{"a": 1}), JSON(map[string]int{"a": 2}), JSON([][]int{{1, 2}})}
	for i, v := range values {
		for j, w := range values {
			same := i == j || v.IsNone() && w.IsNone()
			if v.Equal(w) != same || (v.String() == w.String()) != same {
				t.Errorf("%s equals %s: %v", v, w, v.Equal(w))
			}
		}
	}
}

func TestDecode(t *testing.T) {
	var number int
	var numbers []int64
	var text string
	var fields map[string]int
	var whatever any
	for _, test := range []struct {
		value Value
		into  any
		want  any
	}{
		{Ints(7), &number, 7},
		{Ints(7), &numbers, []int64{7}},
		{Ints(7, 8), &numbers, []int64{7, 8}},
		{Value{}, &numbers, []int64(nil)},
		{JSON("a\tb"), &text, "a\tb"},
		{JSON(map[string]int{"a": 1}), &fields, map[string]int{"a": 1}},
		{Value{}, &whatever, nil},
	} {
		if err := test.value.Decode(test.into); err != nil {
			t.Errorf("%s: %v", test.value, err)
		}
		if got := reflect.ValueOf(test.into).Elem().Interface(); !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s was decoded as %v, want %v", test.value, got, test.want)
		}
	}
	if err := JSON("a").Decode(&number); err == nil {
		t.Error("a string was decoded as a number")
	}
}

func TestNotJSON(t *testing.T) {
	var deep any = "x"
	for range nestingLimit + 1 {
		deep = []any{deep}
	}
	for _, test := range []struct {
		value any
		want  string
	}{
		{make(chan int), "history.JSON of a chan int: json: unsupported type"},
		{math.NaN(), "history.JSON of a float64: "},
		{"\xff", "history.JSON of a string: a string is not UTF-8; let it be []byte"},
		{map[string]string{"\xff": "a"}, "a string is not UTF-8"},
		{deep, "is nested deeper than 64 levels"},
	} {
		func() {
			defer func() {
				text, _ := recover().(string)
				if !strings.Contains(text, test.want) || len(text) > 300 {
					t.Errorf("got the panic %q, want %q", text, test.want)
				}
			}()
			JSON(test.value)
		}()
	}
}

func TestRecordable(t *testing.T) {
	for _, test := range []struct {
		value Value
		want  bool
	}{
		{Value{}, true},
		{Ints(make([]int64, integersLimit)...), true},
		{Ints(make([]int64, integersLimit+1)...), false},
		{JSON(strings.Repeat("x", textLimit-2)), true},
		{JSON(strings.Repeat("x", textLimit-1)), false},
	} {
		if err := test.value.Recordable(); (err == nil) != test.want {
			t.Errorf("%.20s…: %v", test.value, err)
		}
	}
}

// What is read of a value is written so that it is read as the same.
func FuzzValue(f *testing.F) {
	for _, seed := range []string{"null", "[1,-2]", `"a"`, `{"b":[1.5,{}],"a":null}`, "[[[]]]", `"\ud83d\ude00"`, `"\ud83d"`, " [ 9223372036854775808 ]", "1e5", "[01]", "[1", "1,2", `{"a":1,"a":2}`, "0\v"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var v, again Value
		if err := v.UnmarshalJSON(text); err != nil {
			return
		}
		if !json.Valid(text) {
			t.Fatalf("%q is not JSON, and was read as %s", text, v)
		}
		written, err := json.Marshal(v)
		if err != nil {
			t.Fatalf("%q cannot be written: %v", text, err)
		}
		if err := json.Unmarshal(written, &again); err != nil || !again.Equal(v) || again.String() != v.String() {
			t.Fatalf("%q was written as %q, which is %q: %v", text, written, again, err)
		}
	})
}
