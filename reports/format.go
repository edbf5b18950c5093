package reports

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rashomon-io/rashomon/checker/statistics"
	"github.com/rashomon-io/rashomon/harness/history"
)

// unmeasured stands for a figure that the run has no data for.
const unmeasured = "–"

// percent never rounds a failure away: 100 % means all of them, 0 % none.
func percent(share float64) string {
	switch {
	case share < 0:
		return unmeasured
	case share == 0:
		return "0 %"
	case share >= 1:
		return "100 %"
	case share < 0.001:
		return "< 0.1 %"
	}
	const slack = 1e-9 // 0.29 is a little less than 29 %
	return fmt.Sprintf("%.1f %%", math.Floor(share*1000+slack)/10)
}

// duration keeps two or three digits.
func duration(d time.Duration) string {
	switch {
	case d < 0:
		return unmeasured
	case d < time.Millisecond:
		return fmt.Sprintf("%d µs", d.Microseconds())
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", d.Seconds()*1e3)
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < 10*time.Second:
		return fmt.Sprintf("%.2f s", d.Seconds())
	case d < 2*time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return fmt.Sprintf("%d min %d s", int(d.Minutes()), int(d.Seconds())%60)
}

// instant is a point in a run, to the microsecond: the order of operations is
// the point of showing them.
func instant(d time.Duration) string { return fmt.Sprintf("%.6f s", d.Seconds()) }

// count groups digits by thousands.
func count(n int) string {
	if n < 0 {
		return unmeasured
	}
	digits := strconv.Itoa(n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// counted is count with its noun: "1 violation", "2 violations".
func counted(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return count(n) + " " + noun
}

// lines are those of the first, at most so many, and one for the rest, in which %s stands
// for how many there are of the noun.
func lines[T any](all []T, most int, rest, noun string, line func(T) string) (some []string) {
	for i, one := range all {
		if i == most {
			return append(some, fmt.Sprintf(rest, counted(len(all)-most, noun)))
		}
		some = append(some, line(one))
	}
	return some
}

func availability(s statistics.Service) string { return percent(s.Availability()) }

func latency(s statistics.Service) string {
	if s.OK == 0 {
		return unmeasured
	}
	return duration(s.P50) + " / " + duration(s.P99)
}

// client is who called: "p7 on n2".
func client(o history.Operation) string {
	if o.Node == "" {
		return fmt.Sprintf("p%d", o.Process)
	}
	return fmt.Sprintf("p%d on %s", o.Process, o.Node)
}

// call is an operation without its time: "cas(k1, 4, 7) saw 5". Of a set's read in
// a witness, it tells about these elements alone; nil means all that it saw.
func call(o history.Operation, about []int64) string {
	var arguments []string
	if o.Key != "" {
		arguments = append(arguments, o.Key)
	}
	if !o.Input.IsNone() {
		arguments = append(arguments, elements(o.Input))
	}
	text := string(o.Kind) + "(" + strings.Join(arguments, ", ") + ")"
	switch {
	case o.Kind == history.ReadAll && o.Outcome == history.OK && len(about) > 0:
		var with, without []int64
		for _, element := range about {
			if slices.Contains(o.Output.Ints(), element) {
				with = append(with, element)
			} else {
				without = append(without, element)
			}
		}
		if len(with) > 0 {
			text += " with " + elements(history.Ints(with...))
		}
		if len(without) > 0 {
			text += " without " + elements(history.Ints(without...))
		}
	case o.Kind == history.ReadAll && o.Outcome == history.OK:
		text += " = {" + elements(o.Output) + "}"
	case !o.Output.IsNone() && o.Outcome == history.Fail:
		text += " saw " + elements(o.Output)
	case !o.Output.IsNone():
		text += " = " + elements(o.Output)
	case o.Kind == history.Read && o.Outcome == history.OK:
		text += " = nothing"
	}
	return text
}

func elements(value history.Value) string {
	const limit = 8
	if !value.IsInts() {
		return Clean(value.String(), 60)
	}
	var b strings.Builder
	for i, element := range value.Ints() {
		if i == limit {
			fmt.Fprintf(&b, ", … %s more", count(value.Len()-limit))
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		if element == history.NoBalance {
			b.WriteString("none")
		} else {
			b.WriteString(strconv.FormatInt(element, 10))
		}
	}
	return b.String()
}

// outcome adds to an operation's outcome what the client was told.
func outcome(o history.Operation) string {
	if o.Error == "" {
		return o.Outcome.String()
	}
	return o.Outcome.String() + ": " + o.Error
}

// interval is when an operation was under way. Nobody knows when an info ends.
func interval(o history.Operation) string {
	if o.Outcome == history.Info {
		return instant(o.Invoke) + " – ?"
	}
	return instant(o.Invoke) + " – " + instant(o.Complete)
}
