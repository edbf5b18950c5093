package nemesis

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/harness/history"
)

// frozen is a user's own fault: disks that take no writes. Its errors are of the actions
// that fails names.
type frozen struct {
	mu    sync.Mutex
	disks map[cluster.Node]bool
	fails func(action string) error // such as "freeze n1"
}

func newFrozen() *frozen {
	return &frozen{disks: map[cluster.Node]bool{}, fails: func(string) error { return nil }}
}

func (z *frozen) set(hit Hit, action string, to bool) error {
	for _, node := range hit.Nodes {
		z.mu.Lock()
		z.disks[node] = to
		z.mu.Unlock()
		if err := z.fails(action + " " + node); err != nil {
			return err
		}
	}
	return nil
}

func (z *frozen) left() (nodes []cluster.Node) {
	for node, is := range z.disks {
		if is {
			nodes = append(nodes, node)
		}
	}
	return nodes
}

func (z *frozen) family() Family {
	return Family{
		Family: history.Family{Name: "freeze", Did: "had a disk that took no writes", Away: true},
		Doc:    "disks take no writes",
		Needs:  []cluster.Fault{cluster.DiskFault},
		Modes:  []Mode{{Name: "data"}, {Name: "log"}},
		Inject: func(_ context.Context, hit Hit) (string, error) {
			return "with " + hit.Mode, z.set(hit, "freeze", true)
		},
		Heal: func(_ context.Context, hit Hit) error { return z.set(hit, "thaw", false) },
	}
}

// A user's own family is planned, overlaps, and is recorded, healed and replayed as the
// built-in ones are; it is known by name, and an unknown one is said to be.
func TestOwnFamily(t *testing.T) {
	shapes := map[string]bool{}
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			z, f := newFrozen(), newFake(5)
			n, err := Parse("freeze,partition,kill,overlap", time.Second, z.family())
			if err != nil {
				t.Fatal(err)
			}
			if needs := n.Needs(); !slices.Contains(needs, cluster.DiskFault) {
				t.Errorf("needs %v", needs)
			}
			wantHealed(t, f, n.Play(t.Context(), f.stage(20*time.Second, seed)))
			if left := z.left(); len(left) > 0 {
				t.Errorf("still frozen: %v", left)
			}
			for _, e := range f.events {
				if e.Type == history.Inject && e.Family == "freeze" {
					shapes[e.Shape] = true
					if e.Detail != "with "+e.Mode || e.Of().Did != z.family().Did || !e.Of().Away {
						t.Errorf("recorded %+v", e)
					}
				}
			}
			want := did(f.events)

			text, err := json.Marshal(f.events)
			if err != nil {
				t.Fatal(err)
			}
			var events []history.Event
			if err := json.Unmarshal(text, &events); err != nil {
				t.Fatal(err)
			}
			if _, err := Replay(events); err == nil || !strings.Contains(err.Error(), `unknown family "freeze"`) || strings.Contains(err.Error(), "\n") {
				t.Errorf("replayed without the family: %v", err)
			}
			again, err := Replay(events, z.family())
			if err != nil {
				t.Fatal(err)
			}
			f = newFake(5)
			wantHealed(t, f, again.Play(t.Context(), f.stage(20*time.Second, 0)))
			if diff := cmp.Diff(want, did(f.events)); diff != "" {
				t.Errorf("(-recorded +replayed):\n%s", diff)
			}
		})
	}
	if len(shapes) != len(roles) {
		t.Errorf("shapes %v", shapes)
	}
}

// Whatever becomes of an own fault, its effect is healed, and so are the others'.
func TestOwnFamilyIsHealed(t *testing.T) {
	failure := func() error { return errors.New("no\nway") }
	boom := func() error { panic("boom") }
	const (
		frozen, thawed     = "1s inject freeze minority data [n1 n2] with data", "3s heal freeze minority data [n1 n2]"
		killed, restarted  = "2s inject kill one [n3]", "4s heal kill one [n3]"
		panicked, thawedAt = "error freeze minority data [n1 n2] freeze panicked: boom", "heal freeze minority data [n1 n2]"
	)
	for _, test := range []struct {
		name, fails string // the action that fails, once
		how         func() error
		panics      bool
		want        []string
	}{
		{"well", "", nil, false, []string{frozen, killed, thawed, restarted}},
		{"error half-way", "freeze n1", failure, false, []string{"1s error freeze minority data [n1 n2] with data no way", "1s " + thawedAt, killed, restarted}},
		{"panic", "freeze n1", boom, true, []string{"1s " + panicked, "1s " + thawedAt}},
		{"error of the healing", "thaw n1", failure, false, []string{frozen, killed, "3s error freeze minority data [n1 n2] no way", restarted, "10s " + thawedAt}},
		{"panic of the healing", "thaw n1", boom, true, []string{frozen, killed, "3s " + panicked, thawed, "3s heal kill one [n3]"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				z, f := newFrozen(), newFake(5)
				failed := false
				z.fails = func(action string) error {
					if failed || action != test.fails {
						return nil
					}
					failed = true
					return test.how()
				}
				own := z.family()
				freeze := a(1, &own, find(t, &kill, "minority"), 1, 3, f.nodes...)
				freeze.mode = "data"
				defer func() {
					value, panicked := recover().(string)
					if panicked != test.panics || panicked && !strings.HasPrefix(value, "freeze panicked: boom (family_test.go:") {
						t.Errorf("panics: %v, with %q", panicked, value)
					}
					wantHealed(t, f, nil)
					if left := z.left(); len(left) > 0 {
						t.Errorf("still frozen: %v", left)
					}
					var got []string
					for _, line := range f.told() {
						line, _, _ = strings.Cut(line, " (family_test.go:")
						got = append(got, line)
					}
					if diff := cmp.Diff(test.want, got); diff != "" {
						t.Errorf("(-want +got):\n%s", diff)
					}
				}()
				if err := play(t.Context(), f.stage(10*time.Second, 1), []fault{freeze, a(2, &kill, find(t, &kill, "one"), 2, 4, "n3", "n1", "n2", "n4", "n5")}); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// What the family refuses was not done; what it cannot heal is said, and what hangs.
func TestOwnFamilyThatDoesNotHeal(t *testing.T) {
	var hang chan struct{}
	for _, test := range []struct {
		name         string
		inject, heal func(context.Context) error
		events, says string
	}{
		{"refused", func(context.Context) error { return fmt.Errorf("not here: %w", errors.ErrUnsupported) }, nil,
			"1s skip odd one [n1] not here: unsupported operation", ""},
		{"nothing to undo", func(context.Context) error { return nil }, nil, "1s inject odd one [n1]; 3s heal odd one [n1]", ""},
		{"never healed", func(context.Context) error { return nil }, func(context.Context) error { return errors.New("no way") },
			"1s inject odd one [n1]; 3s error odd one [n1] no way; 10s error odd one [n1] no way", "nemesis: the cluster is not healed: odd of n1: no way"},
		{"a healing that always panics", func(context.Context) error { return nil }, func(context.Context) error { panic("boom") },
			"1s inject odd one [n1]; 3s error odd one [n1] odd panicked: boom; 3s error odd one [n1] odd panicked: boom", "odd panicked: boom"},
		{"bounded", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, nil,
			"11s error odd one [n1] context deadline exceeded; 11s heal odd one [n1]", ""},
		{"ignores its context", func(context.Context) error { <-hang; return nil }, nil,
			"12s error odd one [n1] odd ignores its context and has not returned; 12s heal odd one [n1]",
			"nemesis: the cluster is not healed: odd ignores its context and has not returned"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hang = make(chan struct{})
				defer close(hang)
				f := newFake(3)
				own := Family{Family: history.Family{Name: "odd"}, Inject: func(ctx context.Context, _ Hit) (string, error) { return "", test.inject(ctx) }}
				if test.heal != nil {
					own.Heal = func(ctx context.Context, _ Hit) error { return test.heal(ctx) }
				}
				defer func() {
					said, _ := recover().(string)
					if test.says != "" && said != "" && !strings.HasPrefix(said, test.says) {
						t.Errorf("panics with %q, want %q", said, test.says)
					}
					var got []string
					for _, line := range f.told() {
						line, _, _ = strings.Cut(line, " (family_test.go:")
						got = append(got, line)
					}
					if diff := cmp.Diff(test.events, strings.Join(got, "; ")); diff != "" {
						t.Errorf("(-want +got):\n%s", diff)
					}
				}()
				err := play(t.Context(), f.stage(10*time.Second, 1), []fault{a(1, &own, find(t, &kill, "one"), 1, 3, f.nodes...)})
				if err != nil && err.Error() != test.says || err == nil && test.says != "" {
					t.Errorf("got %v, want %q", err, test.says)
				}
			})
		})
	}
}

// The end of the trial does not cut an own fault in half, and heals it.
func TestOwnFamilyAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z, f := newFrozen(), newFake(5)
		z.fails = func(string) error { time.Sleep(2 * time.Second); return nil }
		ctx, cancel := context.WithTimeout(t.Context(), 5500*time.Millisecond)
		defer cancel()
		s := Combine(With(z.family()), Kills("one"))
		s.Interval = time.Second
		wantHealed(t, f, s.Play(ctx, f.stage(20*time.Second, 3)))
		if left := z.left(); len(left) > 0 || f.count(history.Inject) == 0 || f.count(history.Inject) != f.count(history.Heal) {
			t.Errorf("still frozen: %v; %v", left, f.told())
		}
	})
}

// Own links and clocks go into the sum of all, as the built-in ones do.
func TestOwnLinksAndClocks(t *testing.T) {
	satellite := Family{
		Family: history.Family{Name: "satellite", On: history.OnLinks, Did: "gone by satellite"},
		Modes:  []Mode{{Draw: func(*rand.Rand) Effect { return delay(600 * ms) }}},
	}
	leap := Family{
		Family: history.Family{Name: "leap", On: history.OnClocks, Did: "leapt"}, Shapes: Roles("leader"),
		Modes: []Mode{{Draw: func(*rand.Rand) Effect { return wrong(cluster.Clock{Offset: time.Second}) }}},
	}
	synctest.Test(t, func(t *testing.T) {
		f := newFake(3)
		together := 0
		f.after = func(e history.Event) {
			for _, c := range f.links {
				if c.Delay > 600*ms || c.Delay == 600*ms && c.Cut != cluster.Whole {
					together++
				}
			}
			if e.Type == history.Inject && e.Family == "leap" && f.clocks["n1"].Offset != time.Second {
				t.Errorf("clocks %v", f.clocks)
			}
		}
		n, err := Parse("satellite:all,leap,partition,latency,overlap", time.Second, satellite, leap)
		if err != nil {
			t.Fatal(err)
		}
		wantHealed(t, f, n.Play(t.Context(), f.stage(30*time.Second, 1)))
		if together == 0 {
			t.Error("no link had two faults")
		}
		again, err := Replay(f.events, leap, satellite)
		if err != nil {
			t.Fatal(err)
		}
		want := did(f.events)
		f = newFake(3)
		wantHealed(t, f, again.Play(t.Context(), f.stage(30*time.Second, 1)))
		if diff := cmp.Diff(want, did(f.events)); diff != "" {
			t.Errorf("(-recorded +replayed):\n%s", diff)
		}
	})
}

// A family that could not be played is refused before anything begins, in one line.
func TestUnsoundFamilies(t *testing.T) {
	sound := func(change func(*Family)) Family {
		f := Family{Family: history.Family{Name: "flush"}, Inject: func(context.Context, Hit) (string, error) { return "", nil }}
		change(&f)
		return f
	}
	draw := func(*rand.Rand) Effect { return Effect{} }
	onLinks := func(f *Family) {
		f.On, f.Inject, f.Modes = history.OnLinks, nil, []Mode{{Name: "silent", Draw: draw}}
	}
	for want, f := range map[string]Family{
		`the family "": want a name`:                sound(func(f *Family) { f.Name = "" }),
		`the family "a b": want a name`:             sound(func(f *Family) { f.Name = "a b" }),
		`the family "overlap": want a name`:         sound(func(f *Family) { f.Name = "overlap" }),
		`the family "kill": there are two`:          sound(func(f *Family) { f.Name = "kill" }),
		`it acts on "disks"`:                        sound(func(f *Family) { f.On = "disks" }),
		`it has no Inject`:                          sound(func(f *Family) { f.Inject = nil }),
		`it acts on links`:                          sound(func(f *Family) { onLinks(f); f.Away = true }),
		`it has no Modes`:                           sound(func(f *Family) { onLinks(f); f.Modes = nil }),
		`does not act on links`:                     sound(func(f *Family) { f.Cuts = true }),
		`the shape "random-one"`:                    sound(func(f *Family) { f.Shapes = []Shape{{Name: "random-one", Choose: first}} }),
		`the shape "one"`:                           sound(func(f *Family) { f.Shapes = []Shape{{Name: "one"}} }),
		`the mode "": want a lower-case name`:       sound(func(f *Family) { f.Modes = []Mode{{}, {}} }),
		`the mode "a": want Draw`:                   sound(func(f *Family) { f.Modes = []Mode{{Name: "a", Draw: draw}} }),
		`the mode "loud" of what cuts links`:        sound(func(f *Family) { onLinks(f); f.Cuts, f.Modes[0].Name = true, "loud" }),
		`two of its shapes and modes have the same`: sound(func(f *Family) { f.Modes = []Mode{{Name: "one"}} }),
	} {
		for who, err := range map[string]error{
			"Parse":  func() error { _, err := Parse("all", 0, f); return err }(),
			"Replay": func() error { _, err := Replay([]history.Event{begins, injected(1, 0, "n1")}, f); return err }(),
		} {
			if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s says %v, want %s", who, err, want)
			}
		}
	}
	if _, err := Parse("flush,kill", 0, sound(func(*Family) {})); err != nil {
		t.Error(err)
	}
	defer func() {
		if r, _ := recover().(string); !strings.Contains(r, `the family "kill": there are two`) {
			t.Errorf("With panics with %q", r)
		}
	}()
	With(sound(func(f *Family) { f.Name = "kill" }))
}

// A shape of a user's own may choose what is not there.
func TestShapesThatChooseNobody(t *testing.T) {
	for want, hit := range map[string]Victims{
		`1s skip flush odd [n9] odd chose "n9", which is not in the cluster`: {Nodes: []cluster.Node{"n9"}},
		`1s skip flush odd odd chose nobody`:                                 {},
	} {
		run(t, 3, func(f *fake) []fault {
			own := Family{Family: history.Family{Name: "flush"}}
			return []fault{a(1, &own, Shape{Name: "odd", Choose: func([]cluster.Node) Victims { return hit }}, 1, 2, f.nodes...)}
		}, func(t *testing.T, f *fake, err error) {
			wantHealed(t, f, err)
			wantEvents(t, f, want)
		})
	}
}
