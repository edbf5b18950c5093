package nemesis

import (
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/harness/history"
)

const ms = time.Millisecond

var conditions = rapid.Custom(func(t *rapid.T) cluster.Condition {
	share := rapid.Float64Range(0, 1)
	delay := rapid.Map(rapid.Int64Range(0, int64(time.Second)), func(n int64) time.Duration { return time.Duration(n) })
	return cluster.Condition{
		Cut:            rapid.SampledFrom([]cluster.Cut{cluster.Whole, cluster.Silent, cluster.Reset}).Draw(t, "cut"),
		Delay:          delay.Draw(t, "delay"),
		Jitter:         delay.Draw(t, "jitter"),
		Normal:         rapid.Bool().Draw(t, "normal"),
		BytesPerSecond: rapid.IntRange(0, 1<<20).Draw(t, "rate"),
		Loss:           share.Draw(t, "loss"),
		Reorder:        share.Draw(t, "reorder"),
		Duplicate:      share.Draw(t, "duplicate"),
		Corrupt:        share.Draw(t, "corrupt"),
		Repair:         rapid.Bool().Draw(t, "repair"),
	}
})

func TestTogether(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := conditions.Draw(t, "a"), conditions.Draw(t, "b"), conditions.Draw(t, "c")
		same := func(what string, x, y cluster.Condition) {
			if diff := cmp.Diff(x, y, cmpopts.EquateApprox(0, 1e-9)); diff != "" {
				t.Fatalf("%s:\n%s", what, diff)
			}
		}
		if healthy := (cluster.Condition{}); together(a, healthy) != a || together(healthy, a) != a {
			t.Fatalf("with a healthy link, %+v became %+v", a, together(healthy, a))
		}
		same("a+b, b+a", together(a, b), together(b, a))
		same("(a+b)+c, a+(b+c)", together(together(a, b), c), together(a, together(b, c)))
	})
	a := cluster.Condition{Cut: cluster.Reset, Delay: 50 * ms, Jitter: 5 * ms, BytesPerSecond: 100, Loss: 0.5, Corrupt: 1}
	b := cluster.Condition{Cut: cluster.Silent, Delay: 20 * ms, BytesPerSecond: 70, Loss: 0.5, Duplicate: 0.1, Corrupt: 1}
	want := cluster.Condition{Cut: cluster.Silent, Delay: 70 * ms, Jitter: 5 * ms, BytesPerSecond: 70, Loss: 0.75, Duplicate: 0.1, Corrupt: 1}
	if diff := cmp.Diff(want, together(a, b)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestEffectString(t *testing.T) {
	const day = 24 * time.Hour
	for want, e := range map[string]Effect{
		"":                      severed(cluster.Silent),
		"50ms":                  {Condition: cluster.Condition{Delay: 50 * ms}},
		"50ms ± 20ms":           {Condition: cluster.Condition{Delay: 50 * ms, Jitter: 20 * ms}},
		"50ms ± 20ms normal":    {Condition: cluster.Condition{Delay: 50 * ms, Jitter: 20 * ms, Normal: true}},
		"64 KiB/s":              {Condition: cluster.Condition{BytesPerSecond: 64 << 10}},
		"0.5 KiB/s":             {Condition: cluster.Condition{BytesPerSecond: 512}},
		"12% lost":              {Condition: cluster.Condition{Loss: 0.12}},
		"1% lost, 7% reordered": {Condition: cluster.Condition{Loss: 0.01, Reorder: 0.07}},
		"30% twice, 5% corrupt": {Condition: cluster.Condition{Duplicate: 0.3, Corrupt: 0.05}},
		"3.2s ahead":            {Clock: cluster.Clock{Offset: 3200 * ms}},
		"3.2s behind":           {Clock: cluster.Clock{Offset: -3200 * ms}},
		"3650 days behind":      {Clock: cluster.Clock{Offset: -3650 * day}},
		"1s ahead, 20% slow":    {Clock: cluster.Clock{Offset: time.Second, Drift: -0.2}},
		"7% fast":               {Clock: cluster.Clock{Drift: 0.07}},
		"1s ahead, to and fro every 10ms, the monotonic clock too": {Clock: cluster.Clock{Offset: time.Second, Strobe: 10 * ms, Monotonic: true}},
	} {
		if e.String() != want {
			t.Errorf("got %q, want %q", e, want)
		}
	}
}

// Every field of a condition and of a clock is recorded, and read again as it
// was, also one that somebody adds some day.
func TestEffectsAreRecordedWhole(t *testing.T) {
	check := func(name string, e Effect) {
		t.Run(name, func(t *testing.T) {
			var event, again history.Event
			e.record(&event)
			text, err := json.Marshal(event)
			if err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(text, &again); err != nil {
				t.Fatal(err)
			}
			got, err := recordedEffect(again)
			if err != nil || got != e {
				t.Errorf("%+v became %+v: %v", e, got, err)
			}
		})
	}
	fields := reflect.TypeFor[cluster.Condition]()
	for i := range fields.NumField() {
		if name := fields.Field(i).Name; name != "Cut" {
			var e Effect
			set(t, reflect.ValueOf(&e.Condition).Elem().Field(i))
			check(name, e)
		}
	}
	fields = reflect.TypeFor[cluster.Clock]()
	for i := range fields.NumField() {
		var e Effect
		set(t, reflect.ValueOf(&e.Clock).Elem().Field(i))
		check(fields.Field(i).Name, e)
	}
}

func set(t *testing.T, field reflect.Value) {
	switch field.Kind() {
	case reflect.Bool:
		field.SetBool(true)
	case reflect.Float64:
		field.SetFloat(0.1)
	case reflect.Int, reflect.Int64:
		field.SetInt(1)
	default:
		t.Fatalf("a field of kind %s", field.Kind())
	}
}

// What is drawn stays in the ranges that List promises, and uses them.
func TestMagnitudes(t *testing.T) {
	const draws = 4000
	rng := rand.New(rand.NewPCG(1, 2))
	all := map[string][]Effect{}
	for _, f := range builtin {
		for _, m := range f.Modes {
			for range draws {
				name := f.Name + m.Name
				all[name] = append(all[name], m.Draw(rng))
			}
		}
	}
	for _, test := range []struct {
		what, of  string
		value     func(Effect) float64
		low, high float64
	}{
		{"delay", "latency", func(e Effect) float64 { return float64(e.Condition.Delay) }, float64(10 * ms), float64(300 * ms)},
		{"jitter", "latency", func(e Effect) float64 { return float64(e.Condition.Jitter) / float64(e.Condition.Delay) }, 0, 0.51},
		{"loss", "loss", func(e Effect) float64 { return e.Condition.Loss }, 0.05, 0.4},
		{"loss", "flaky", func(e Effect) float64 { return e.Condition.Loss }, 0.01, 0.1},
		{"delay", "flaky", func(e Effect) float64 { return float64(e.Condition.Delay) }, float64(2 * ms), float64(50 * ms)},
		{"reorder", "flaky", func(e Effect) float64 { return e.Condition.Reorder }, 0.01, 0.25},
		{"duplicate", "flaky", func(e Effect) float64 { return e.Condition.Duplicate }, 0.01, 0.1},
		{"corrupt", "flaky", func(e Effect) float64 { return e.Condition.Corrupt }, 0.01, 0.05},
		{"rate", "slow", func(e Effect) float64 { return float64(e.Condition.BytesPerSecond) }, 16 << 10, 256 << 10},
		{"jump", "clockjump", func(e Effect) float64 { return e.Clock.Offset.Hours() }, -10 * 365 * 24, 10 * 365 * 24},
		{"size of jump", "clockjump", func(e Effect) float64 { return e.Clock.Offset.Abs().Seconds() }, 0.5, 10 * 365 * 24 * 3600},
		{"drift", "clockdrift", func(e Effect) float64 { return e.Clock.Drift }, -0.2, 0.2},
		{"strobe", "clockstrobe", func(e Effect) float64 { return float64(e.Clock.Strobe) }, float64(10 * ms), float64(500 * ms)},
		{"drift", "clockmixed", func(e Effect) float64 { return e.Clock.Drift }, -0.2, 0.2},
	} {
		least, most := test.high, test.low
		for _, e := range all[test.of] {
			least, most = min(least, test.value(e)), max(most, test.value(e))
		}
		slack := (test.high - test.low) / 10
		if least < test.low || most > test.high || least > test.low+slack || most < test.high-slack {
			t.Errorf("%s of %s is drawn from %v to %v, want %v to %v", test.what, test.of, least, most, test.low, test.high)
		}
	}
	seconds := 0
	for _, e := range all["clockjump"] {
		if e.Clock.Offset.Abs() <= time.Minute {
			seconds++
		}
	}
	if seconds < draws*6/10 || seconds > draws*9/10 {
		t.Errorf("%d of %d jumps are of seconds", seconds, draws)
	}
}
