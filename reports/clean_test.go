package reports

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/rashomon-io/rashomon/checker"
	"github.com/rashomon-io/rashomon/checker/statistics"
	"github.com/rashomon-io/rashomon/harness/history"
)

// texts visits every text in data; spoil, if not nil, gives it another.
func texts(at string, data reflect.Value, spoil func(string) string, seen func(at, text string)) {
	switch data.Kind() {
	case reflect.String:
		if spoil != nil {
			data.SetString(spoil(data.String()))
		}
		seen(at, data.String())
	case reflect.Pointer:
		if data.IsNil() && spoil != nil && data.CanSet() {
			data.Set(reflect.New(data.Type().Elem()))
		}
		if !data.IsNil() {
			texts(at, data.Elem(), spoil, seen)
		}
	case reflect.Struct:
		for i := range data.NumField() {
			if field := data.Type().Field(i); field.IsExported() {
				texts(at+"."+field.Name, data.Field(i), spoil, seen)
			}
		}
	case reflect.Slice:
		if data.Len() == 0 && spoil != nil {
			data.Set(reflect.MakeSlice(data.Type(), 1, 1))
		}
		for i := range data.Len() {
			texts(fmt.Sprintf("%s[%d]", at, i), data.Index(i), spoil, seen)
		}
	case reflect.Map:
		if spoil != nil {
			spoilt := reflect.MakeMap(data.Type())
			for _, key := range []string{"a", "b"} {
				value := reflect.New(data.Type().Elem()).Elem()
				texts(at, value, spoil, seen)
				spoilt.SetMapIndex(reflect.ValueOf(spoil(key)).Convert(data.Type().Key()), value)
			}
			data.Set(spoilt)
		}
		for key, value := range data.Seq2() {
			seen(at, key.String())
			if spoil == nil {
				texts(at, value, nil, seen)
			}
		}
	}
}

// No text comes in that is not clean, whatever field it is in, and none is forgotten;
// nothing of what came is changed.
func TestEveryTextIsClean(t *testing.T) {
	var e Entry
	e.Run = new(history.Run)
	spoilt := 0
	texts("", reflect.ValueOf(&e).Elem(), func(text string) string { return strings.Repeat(hostile, 20) + text }, func(string, string) { spoilt++ })
	if spoilt < 60 {
		t.Errorf("only %d texts were spoilt", spoilt)
	}
	in := enter(e)
	told, _ := in.violations(9)
	near, _ := told[0].neighbours()
	for name, data := range map[string]any{"entry": in.Entry, "violations": told[0].Violation, "neighbours": near} {
		texts(name, reflect.ValueOf(data), nil, func(at, text string) {
			if !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
				t.Errorf("%s is %q", at, text)
			}
			if len(text) > 7000 { // a thousand runes, each escaped
				t.Errorf("%s has %d bytes", at, len(text))
			}
		})
	}
	if len(in.Result.Statistics.Kinds) != 2 {
		t.Errorf("%d kinds of two, whose names begin alike", len(in.Result.Statistics.Kinds))
	}
	if !strings.HasPrefix(e.Run.Events[0].Family, hostile) || !strings.HasPrefix(e.Result.Violations[0].Key, hostile) {
		t.Error("what came in was changed")
	}
}

// What has nothing to clean comes in as it is.
func TestCleanTextStays(t *testing.T) {
	e := staleRaft()
	got := clean(e)
	if diff := cmp.Diff(e, got, cmp.Exporter(func(reflect.Type) bool { return true })); diff != "" {
		t.Error(diff)
	}
	kinds := map[history.Kind]statistics.Service{"write": {OK: 1}, "read": {OK: 2}}
	if diff := cmp.Diff(kinds, clean(kinds)); diff != "" {
		t.Error(diff)
	}
}

// Texts hide in no field that is not exported, which none can clean.
func TestNoTextIsHidden(t *testing.T) {
	var look func(at string, of reflect.Type)
	look = func(at string, of reflect.Type) {
		switch of.Kind() {
		case reflect.Pointer, reflect.Slice:
			if of == reflect.TypeFor[*history.Packed]() { // which enter unpacks
				return
			}
			look(at, of.Elem())
		case reflect.Map:
			look(at, of.Key())
			look(at, of.Elem())
		case reflect.Array, reflect.Interface, reflect.Func, reflect.Chan:
			t.Errorf("%s is a %s, which clean does not know", at, of.Kind())
		case reflect.Struct:
			if of == reflect.TypeFor[time.Time]() || of == reflect.TypeFor[history.Value]() { // which elements cleans
				return
			}
			for i := range of.NumField() {
				field := of.Field(i)
				if !field.IsExported() {
					t.Errorf("%s.%s is not exported, and may hold text", at, field.Name)
				}
				look(at+"."+field.Name, field.Type)
			}
		}
	}
	look("Run", reflect.TypeFor[history.Run]())
	look("Result", reflect.TypeFor[checker.Result]())
}
