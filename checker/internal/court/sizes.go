package court

import (
	"reflect"
	"unsafe"
)

// Sizes estimates what states of any kind hold in memory: one in measured is
// measured, and the next ones are taken to be of the same size.
type Sizes struct{ count, last int }

const measured = 16

// Estimate is in bytes, and counts what states share for each of them.
func (s *Sizes) Estimate(state any) int {
	if s.count%measured == 0 {
		s.last = 0
		if v := reflect.ValueOf(state); v.IsValid() {
			s.last = int(v.Type().Size()) + beside(v, map[unsafe.Pointer]bool{})
		}
	}
	s.count++
	return s.last
}

// mapEntryBytes is what a map takes for an entry, beside key and value.
const mapEntryBytes = 16

// beside is what a value holds beside its own size.
func beside(v reflect.Value, seen map[unsafe.Pointer]bool) int {
	bytes := 0
	switch v.Kind() {
	case reflect.String:
		return v.Len()
	case reflect.Pointer:
		if v.IsNil() || seen[v.UnsafePointer()] {
			return 0
		}
		seen[v.UnsafePointer()] = true
		return int(v.Type().Elem().Size()) + beside(v.Elem(), seen)
	case reflect.Interface:
		if v.IsNil() {
			return 0
		}
		return int(v.Elem().Type().Size()) + beside(v.Elem(), seen)
	case reflect.Struct:
		for i := range v.NumField() {
			bytes += beside(v.Field(i), seen)
		}
	case reflect.Slice:
		if v.IsNil() || seen[v.UnsafePointer()] {
			return 0
		}
		seen[v.UnsafePointer()] = true
		bytes = v.Cap() * int(v.Type().Elem().Size())
		fallthrough
	case reflect.Array:
		if flat(v.Type().Elem()) {
			return bytes
		}
		for i := range v.Len() {
			bytes += beside(v.Index(i), seen)
		}
	case reflect.Map:
		if v.IsNil() || seen[v.UnsafePointer()] {
			return 0
		}
		seen[v.UnsafePointer()] = true
		entry := int(v.Type().Key().Size()+v.Type().Elem().Size()) + mapEntryBytes
		for entries := v.MapRange(); entries.Next(); {
			bytes += entry + beside(entries.Key(), seen) + beside(entries.Value(), seen)
		}
	}
	return bytes
}

// flat: its values hold nothing beside their own size.
func flat(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.String, reflect.Pointer, reflect.Interface, reflect.Struct, reflect.Slice, reflect.Array, reflect.Map:
		return false
	}
	return true
}
