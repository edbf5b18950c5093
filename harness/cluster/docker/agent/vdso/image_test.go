//go:build linux && amd64

package vdso

import (
	"bytes"
	"testing"
)

// A patch changes the entries and the empty space, and nothing else.
func TestImage(t *testing.T) {
	i, err := ownImage()
	if err != nil {
		t.Skip(err)
	}
	t.Logf("vDSO of %d bytes, %d free, of which the hook takes %d", len(i.right), len(i.right)-i.area, i.end-i.area)
	restored := bytes.Clone(i.patched)
	for _, entry := range i.entries {
		if bytes.Equal(i.patched[entry:entry+jumpSize], i.right[entry:entry+jumpSize]) {
			t.Errorf("entry %#x is not patched", entry)
		}
		copy(restored[entry:entry+jumpSize], i.right[entry:])
	}
	clear(restored[i.area:i.end])
	if !bytes.Equal(restored, i.right) {
		t.Error("more than entries and empty space is patched")
	}
}

func TestImageRefuses(t *testing.T) {
	own, err := ownImage()
	if err != nil {
		t.Skip(err)
	}
	full := bytes.Clone(own.right)
	full[len(full)-1] = 1
	nameless := bytes.ReplaceAll(own.right, []byte("__vdso_time\x00"), []byte("__vdso_tick\x00"))
	for name, b := range map[string][]byte{
		"nothing":     nil,
		"no ELF":      make([]byte, 8192),
		"cut off":     own.right[:4096],
		"no space":    full,
		"no function": nameless,
		"patched":     own.patched,
	} {
		if _, err := newImage(b); err == nil {
			t.Errorf("%s: not refused", name)
		}
	}
}

func FuzzImage(f *testing.F) {
	if own, err := ownImage(); err == nil {
		f.Add(own.right)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		i, err := newImage(b)
		if err != nil {
			return
		}
		for _, entry := range i.entries {
			if entry < 0 || entry+jumpSize > i.area {
				t.Errorf("entry %d is not before the area at %d", entry, i.area)
			}
		}
	})
}
