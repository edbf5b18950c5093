package sentence

import (
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestClipIsValid(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text, limit := string(rapid.SliceOf(rapid.Byte()).Draw(t, "text")), rapid.IntRange(0, 20).Draw(t, "limit")
		got := Clip(text, limit)
		if len(got) > limit || !utf8.ValidString(got) || len(text) <= limit && utf8.ValidString(text) && got != text {
			t.Errorf("%q", got)
		}
	})
}
