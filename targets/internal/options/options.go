// Package options reads what follows a target's name and a colon.
package options

import (
	"fmt"
	"strings"
	"time"
)

// Parse reads "key=value,key=value" for a target; empty means the defaults. Set is
// told each key and value, and returns false for a key that is none, or why the
// value is not possible. Choices are examples for the error.
func Parse(target, text string, choices []string, set func(key, value string) (known bool, err error)) error {
	if text == "" {
		return nil
	}
	for part := range strings.SplitSeq(text, ",") {
		key, value, _ := strings.Cut(part, "=")
		switch known, err := set(key, value); {
		case !known:
			return fmt.Errorf("%s: unknown option %q (there are, for example, %s)", target, part, strings.Join(choices, ", "))
		case err != nil:
			return fmt.Errorf("%s: %s=%q is not possible: %w", target, key, value, err)
		}
	}
	return nil
}

// Second reports whether value is the second of two.
func Second(value, first, second string) (bool, error) {
	if value != first && value != second {
		return false, fmt.Errorf("want %s or %s", first, second)
	}
	return value == second, nil
}

// Duration reads one within bounds, in whole units, and returns 0 for usual.
func Duration(value string, least, most, unit, usual time.Duration) (time.Duration, error) {
	units := map[time.Duration]string{time.Millisecond: "milliseconds", time.Second: "seconds"}
	d, err := time.ParseDuration(value)
	if err != nil || d < least || d > most || d%unit != 0 {
		return 0, fmt.Errorf("want %v to %v, in whole %s", least, most, units[unit])
	}
	if d == usual {
		return 0, nil
	}
	return d, nil
}
