// Package options reads and writes what follows a target's name and a colon:
// "key=value,key=value".
package options

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A List is what a target lets its user choose.
type List []Option

// An Option is a key and its possible values.
type Option struct {
	key string
	set func(value string) error
	get func() string // empty for the default
}

// Parse returns the options that the text says, each key once; the rest are their
// zero values. Choices are examples for the error.
func Parse[O any](text string, list func(*O) List, choices []string) (O, error) {
	var none, parsed O
	if err := list(&parsed).parse(text, choices); err != nil {
		return none, err
	}
	return parsed, nil
}

func (l List) parse(text string, choices []string) error {
	if text == "" {
		return nil
	}
	given := map[string]bool{}
	for part := range strings.SplitSeq(text, ",") {
		key, value, _ := strings.Cut(part, "=")
		which := slices.IndexFunc(l, func(o Option) bool { return o.key == key })
		if which < 0 {
			return fmt.Errorf("unknown option %q (there are, for example, %s)", part, strings.Join(choices, ", "))
		}
		if given[key] {
			return fmt.Errorf("%s is given twice", key)
		}
		given[key] = true
		if err := l[which].set(value); err != nil {
			return fmt.Errorf("%s=%q is not possible: %w", key, value, err)
		}
	}
	return nil
}

// String is what Parse reads, without the defaults.
func (l List) String() string {
	var parts []string
	for _, option := range l {
		if value := option.get(); value != "" {
			parts = append(parts, option.key+"="+value)
		}
	}
	return strings.Join(parts, ",")
}

// Word is one of several. The default is nothing or the usual one, if there is one
// among them.
func Word[T ~string](key string, to *T, usual T, words ...T) Option {
	return Option{
		key,
		func(value string) error {
			if !slices.Contains(words, T(value)) {
				last := len(words) - 1
				var others []string
				for _, word := range words[:last] {
					others = append(others, string(word))
				}
				return fmt.Errorf("want %s or %s", strings.Join(others, ", "), words[last])
			}
			*to = T(value)
			return nil
		},
		func() string {
			if *to == "" || *to == usual {
				return ""
			}
			return string(*to)
		},
	}
}

// Switch is one of two words, the first of which is the default.
func Switch(key string, to *bool, off, on string) Option {
	return Option{
		key,
		func(value string) error {
			if value != off && value != on {
				return fmt.Errorf("want %s or %s", off, on)
			}
			*to = value == on
			return nil
		},
		func() string {
			if *to {
				return on
			}
			return ""
		},
	}
}

// Number is one from 0, the default, to most. What says what it counts.
func Number(key string, to *int, most int, what string) Option {
	return Option{
		key,
		func(value string) error {
			number, err := strconv.Atoi(value)
			if err != nil || number < 0 || number > most {
				return fmt.Errorf("want %s, 0 to %d", what, most)
			}
			*to = number
			return nil
		},
		func() string {
			if *to == 0 {
				return ""
			}
			return strconv.Itoa(*to)
		},
	}
}

// Duration is one within bounds, in whole units: milliseconds or seconds.
func Duration(key string, to *time.Duration, usual, least, most, unit time.Duration) Option {
	units := map[time.Duration]string{time.Millisecond: "milliseconds", time.Second: "seconds"}
	return Option{
		key,
		func(value string) error {
			d, err := time.ParseDuration(value)
			if err != nil || d < least || d > most || d%unit != 0 {
				return fmt.Errorf("want %v to %v, in whole %s", least, most, units[unit])
			}
			*to = d
			if d == usual {
				*to = 0
			}
			return nil
		},
		func() string {
			if *to == 0 {
				return ""
			}
			return to.String()
		},
	}
}

// Image is a container image's reference. What it may look like is the engine's to
// say.
func Image(to *string) Option {
	return Option{
		"image",
		func(value string) error {
			if value == "" {
				return errors.New("want an image, such as one that docker pull understands")
			}
			*to = value
			return nil
		},
		func() string { return *to },
	}
}
