// Package sentence puts into words what a result says.
package sentence

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// QuoteBytes bounds an error, or a reason, that is quoted.
const QuoteBytes = 300

// Seconds is a time: "3.210 s".
func Seconds(d time.Duration) string { return fmt.Sprintf("%.3f s", d.Seconds()) }

// Clip is the text's first bytes, as valid UTF-8.
func Clip(text string, limit int) string {
	if len(text) > limit {
		for limit > 0 && !utf8.RuneStart(text[limit]) {
			limit--
		}
		text = text[:limit]
	}
	return strings.ToValidUTF8(text, "?")
}

// OneLine joins the lines of a text.
func OneLine(text string) string {
	var lines []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, " | ")
}
