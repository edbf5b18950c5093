package nemesis

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/harness/history"
)

// a is a fault from one second to another, on the nodes in their order.
func a(number int, f *Family, s Shape, begin, end float64, order ...cluster.Node) fault {
	planned := fault{
		number: number, injection: injection{family: f}, shape: s, order: order,
		begin: time.Duration(begin * float64(time.Second)), end: time.Duration(end * float64(time.Second)),
	}
	if f == &partition {
		planned.mode, planned.Effect = "silent", severed(cluster.Silent)
	}
	return planned
}

// run plays the faults on a fake cluster in virtual time.
func run(t *testing.T, nodes int, faults func(*fake) []fault, check func(t *testing.T, f *fake, err error)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := newFake(nodes)
		planned := faults(f)
		check(t, f, play(t.Context(), f.stage(10*time.Second, 1), planned))
	})
}

func wantEvents(t *testing.T, f *fake, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, f.told()); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func wantHealed(t *testing.T, f *fake, err error) {
	t.Helper()
	if left := f.unhealed(); err != nil || len(left) > 0 {
		t.Errorf("not healed: %v; error %v", left, err)
	}
}

// Rooms are the same whoever leads, but who did is recorded, if it is known soon.
func TestPlayRooms(t *testing.T) {
	apart := rooms("rooms:n1/n2,n3", [][]cluster.Node{{"n1"}, {"n2", "n3"}})
	run(t, 3, func(f *fake) []fault {
		known := true
		f.leader = func() (cluster.Node, error) {
			defer func() { known = false }()
			if !known {
				return "", errors.New("nobody leads")
			}
			return "n3", nil
		}
		return []fault{a(1, &partition, apart, 1, 2, "n1", "n2", "n3"), a(2, &partition, apart, 3, 4, "n1", "n2", "n3")}
	}, func(t *testing.T, f *fake, err error) {
		wantHealed(t, f, err)
		wantEvents(t, f,
			"1s inject partition rooms:n1/n2,n3 silent [n1]",
			"2s heal partition rooms:n1/n2,n3 silent [n1]",
			"3s inject partition rooms:n1/n2,n3 silent [n1]",
			"4s heal partition rooms:n1/n2,n3 silent [n1]")
		var leaders []string
		for _, e := range f.events {
			if e.Type == history.Inject {
				leaders = append(leaders, e.Leader)
			}
		}
		if !slices.Equal(leaders, []string{"n3", ""}) {
			t.Errorf("recorded leaders %q", leaders)
		}
	})
}

func TestPlay(t *testing.T) {
	run(t, 3, func(f *fake) []fault {
		f.leader = func() (cluster.Node, error) { return "n2", nil }
		f.after = func(e history.Event) {
			if e.Type == history.Inject && e.Family == "kill" && f.State("n2") != cluster.Down {
				t.Error("n2 is not down during its kill")
			}
			if e.Type == history.Inject && e.Family == "partition" && len(f.links) != 4 {
				t.Errorf("cut are %v", f.links)
			}
		}
		return []fault{
			a(1, &kill, find(t, &kill, "leader"), 1, 2, "n1", "n2", "n3"),
			a(2, &pause, find(t, &pause, "majority"), 3, 4, "n3", "n2", "n1"),
			a(3, &partition, find(t, &partition, "leader"), 5, 6, "n1", "n2", "n3"),
		}
	}, func(t *testing.T, f *fake, err error) {
		wantHealed(t, f, err)
		wantEvents(t, f,
			"1s inject kill leader [n2]",
			"2s heal kill leader [n2]",
			"3s inject pause majority [n3 n2]",
			"4s heal pause majority [n3 n2]",
			"5s inject partition leader silent [n2]",
			"6s heal partition leader silent [n2]",
		)
		last := f.events[len(f.events)-1]
		if last.Took != time.Millisecond || last.Planned != 6*time.Second || last.Fault != 3 ||
			!slices.Equal(last.Links, []string{"n2>n1", "n2>n3", "n1>n2", "n3>n2"}) {
			t.Errorf("the last event is %+v", last)
		}
		if now := time.Since(f.began); now < 10*time.Second || now > 10*time.Second+100*time.Millisecond {
			t.Errorf("it took %v", now)
		}
	})
}

// Two partitions cut n1>n2, silently and with reset: it is silent while one
// wants it so, and whole only when both are healed.
func TestOverlappingPartitions(t *testing.T) {
	for range 20 { // the faults in force are visited in random order
		overlapPartitions(t)
	}
}

func overlapPartitions(t *testing.T) {
	var seen []cluster.Cut
	run(t, 3, func(f *fake) []fault {
		f.after = func(history.Event) { seen = append(seen, f.links[cluster.Link{From: "n1", To: "n2"}].Cut) }
		reset := a(1, &partition, find(t, &partition, "isolated"), 1, 4, "n1", "n2", "n3")
		reset.mode, reset.Effect = "reset", severed(cluster.Reset)
		return []fault{reset, a(2, &partition, find(t, &partition, "one"), 2, 3, "n1", "n2", "n3")}
	}, func(t *testing.T, f *fake, err error) {
		wantHealed(t, f, err)
		if diff := cmp.Diff([]cluster.Cut{cluster.Reset, cluster.Silent, cluster.Reset, cluster.Whole}, seen); diff != "" {
			t.Errorf("n1>n2 (-want +got):\n%s", diff)
		}
	})
}

// A kill or a pause takes what runs; healing it leaves the other's victims.
func TestOverlappingNodes(t *testing.T) {
	run(t, 3, func(f *fake) []fault {
		order := []cluster.Node{"n1", "n2", "n3"}
		return []fault{
			a(1, &pause, find(t, &pause, "one"), 1, 5, order...),
			a(2, &kill, find(t, &kill, "one"), 2, 6, order...),
			a(3, &kill, find(t, &kill, "all"), 3, 4, order...),
		}
	}, func(t *testing.T, f *fake, err error) {
		wantHealed(t, f, err)
		wantEvents(t, f,
			"1s inject pause one [n1]",
			"2s skip kill one [n1] no victim runs: n1 is paused",
			"3s inject kill all [n2 n3]",
			"4s heal kill all [n2 n3]",
			"5s heal pause one [n1]",
		)
	})
}

// At the same time, healing goes first.
func TestHandOver(t *testing.T) {
	run(t, 3, func(f *fake) []fault {
		order := []cluster.Node{"n1", "n2", "n3"}
		return []fault{a(1, &kill, find(t, &kill, "one"), 2, 3, order...), a(2, &pause, find(t, &pause, "one"), 1, 2, order...)}
	}, func(t *testing.T, f *fake, err error) {
		wantHealed(t, f, err)
		wantEvents(t, f, "1s inject pause one [n1]", "2s heal pause one [n1]", "2s inject kill one [n1]", "3s heal kill one [n1]")
	})
}

func TestLeader(t *testing.T) {
	leader := func(t *testing.T) []fault {
		return []fault{a(1, &kill, find(t, &kill, "leader-minority"), 1, 3, "n1", "n2", "n3", "n4", "n5")}
	}
	t.Run("none", func(t *testing.T) {
		run(t, 5, func(f *fake) []fault {
			f.leader = func() (cluster.Node, error) { return "", errors.New("they disagree") }
			return leader(t)
		}, func(t *testing.T, f *fake, err error) {
			wantHealed(t, f, err)
			wantEvents(t, f, "2s skip kill leader-minority no leader within 1s: they disagree")
		})
	})
	t.Run("late", func(t *testing.T) {
		run(t, 5, func(f *fake) []fault {
			f.leader = func() (cluster.Node, error) {
				if time.Since(f.began) < 1700*time.Millisecond {
					return "", errors.New("election")
				}
				return "n4", nil
			}
			return leader(t)
		}, func(t *testing.T, f *fake, err error) {
			wantHealed(t, f, err)
			wantEvents(t, f, "1.7s inject kill leader-minority [n4 n1]", "3s heal kill leader-minority [n4 n1]")
		})
	})
	t.Run("spared", func(t *testing.T) {
		run(t, 3, func(f *fake) []fault {
			f.leader = func() (cluster.Node, error) { return "n1", nil }
			return []fault{
				a(1, &kill, find(t, &kill, "follower"), 1, 2, "n1", "n2", "n3"),
				a(2, &pause, find(t, &pause, "follower"), 3, 4, "n3", "n1", "n2"),
				a(3, &partition, find(t, &partition, "follower"), 5, 6, "n1", "n3", "n2"),
			}
		}, func(t *testing.T, f *fake, err error) {
			wantHealed(t, f, err)
			wantEvents(t, f, "1s inject kill follower [n2]", "2s heal kill follower [n2]",
				"3s inject pause follower [n3]", "4s heal pause follower [n3]",
				"5s inject partition follower silent [n3]", "6s heal partition follower silent [n3]")
		})
	})
	t.Run("unknown", func(t *testing.T) {
		run(t, 5, func(f *fake) []fault {
			f.leader = func() (cluster.Node, error) { return "n9", nil }
			return leader(t)
		}, func(t *testing.T, f *fake, err error) {
			wantEvents(t, f, `1s skip kill leader-minority no leader: "n9" is not in the cluster`)
		})
	})
	t.Run("never any", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFake(5)
			stage := f.stage(10*time.Second, 1)
			stage.Leader = nil
			wantHealed(t, f, play(t.Context(), stage, leader(t)))
			wantEvents(t, f, "1s inject kill random-minority [n1 n2] the system has no leader: a random node in its place",
				"3s heal kill random-minority [n1 n2]")
		})
	})
}

// The end of a fault at the leader says who leads then, still under the fault.
func TestWhoLeadsAtTheEnd(t *testing.T) {
	run(t, 3, func(f *fake) []fault {
		f.leader = func() (cluster.Node, error) {
			switch at := time.Since(f.began); {
			case at < 1500*time.Millisecond:
				return "n2", nil
			case at < 3500*time.Millisecond:
				return "n1", nil
			}
			return "", errors.New("they disagree")
		}
		return []fault{
			a(1, &kill, find(t, &kill, "leader"), 1, 2, "n1", "n2", "n3"),
			a(2, &pause, find(t, &pause, "leader"), 2.5, 3, "n1", "n2", "n3"),
			a(3, &partition, find(t, &partition, "one"), 3, 3.2, "n1", "n2", "n3"),
			a(4, &partition, find(t, &partition, "leader"), 3.3, 4, "n1", "n2", "n3"),
		}
	}, func(t *testing.T, f *fake, err error) {
		wantHealed(t, f, err)
		leaders := map[int]string{}
		for _, e := range f.events {
			if e.Type == history.Heal {
				leaders[e.Fault] = e.Leader
			}
		}
		if want := map[int]string{1: "n1", 2: "n1", 3: "", 4: ""}; !maps.Equal(leaders, want) {
			t.Errorf("leaders at the ends of faults: %v, want %v", leaders, want)
		}
	})
}

// A node that ends again whenever it is started is no failure to heal: its cluster
// tells how often it crashed.
func TestNodeThatExitsAtEachStart(t *testing.T) {
	run(t, 3, func(f *fake) []fault {
		f.dies = "n3"
		return []fault{a(1, &kill, find(t, &kill, "one"), 1, 2, "n3", "n1", "n2")}
	}, func(t *testing.T, f *fake, err error) {
		if err != nil {
			t.Errorf("healing fails with %v", err)
		}
	})
}

func TestUnsupportedFamilyIsSkippedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(5)
		f.lacks = map[cluster.Fault]error{cluster.PauseFault: errors.New("no pause here")}
		wantHealed(t, f, parse(t, "kill,pause", 0).Play(t.Context(), f.stage(20*time.Second, 1)))
		if f.count(history.Skip) != 1 || f.told()[0] != "0s skip pause no pause here" {
			t.Errorf("skipped %d times:\n%s", f.count(history.Skip), strings.Join(f.told(), "\n"))
		}
		if f.count(history.Inject) != 13 {
			t.Errorf("%d kills", f.count(history.Inject))
		}
	})
}

// A node that exits, which its cluster tells, starts again at the end.
func TestExit(t *testing.T) {
	run(t, 3, func(f *fake) []fault {
		time.AfterFunc(1550*time.Millisecond, func() { f.setState("n3", cluster.Exited) })
		return []fault{a(1, &kill, find(t, &kill, "one"), 3, 4, "n3", "n1", "n2")}
	}, func(t *testing.T, f *fake, err error) {
		wantHealed(t, f, err)
		wantEvents(t, f,
			"3s skip kill one [n3] no victim runs: n3 is exited",
			"10s heal [n3] n3 was exited at the end, and runs again",
		)
	})
}

// Nodes that die while they are paused, or that somebody starts while they are
// killed, leave their fault nothing to undo.
func TestVictimsChangeMeanwhile(t *testing.T) {
	run(t, 3, func(f *fake) []fault {
		time.AfterFunc(1550*time.Millisecond, func() { f.setState("n1", cluster.Exited); f.setState("n2", cluster.Running) })
		return []fault{
			a(1, &pause, find(t, &pause, "one"), 1, 2, "n1", "n2", "n3"),
			a(2, &kill, find(t, &kill, "one"), 1, 2, "n2", "n1", "n3"),
		}
	}, func(t *testing.T, f *fake, err error) {
		wantHealed(t, f, err)
		wantEvents(t, f,
			"1s inject pause one [n1]",
			"1s inject kill one [n2]",
			"2s heal pause one [n1]",
			"2s heal kill one [n2]",
			"10s heal [n1] n1 was exited at the end, and runs again",
		)
	})
}

// A fault that fails half-way is undone at once.
func TestInjectFails(t *testing.T) {
	run(t, 3, func(f *fake) []fault {
		f.fails = func(action string) error {
			if action == "pause n2" || action == "cut silent" {
				return errors.New("no way,\nno how")
			}
			return nil
		}
		f.after = func(e history.Event) {
			if e.Type == history.Heal && len(f.unhealed()) > 0 {
				t.Errorf("after the healing of %d: %v", e.Fault, f.unhealed())
			}
		}
		order := []cluster.Node{"n1", "n2", "n3"}
		return []fault{
			a(1, &pause, find(t, &pause, "all"), 1, 2, order...),
			a(2, &partition, find(t, &partition, "one"), 3, 4, order...),
		}
	}, func(t *testing.T, f *fake, err error) {
		wantHealed(t, f, err)
		wantEvents(t, f,
			"1s error pause all [n1 n2 n3] cannot pause n2: no way, no how",
			"1s heal pause all [n1 n2 n3]",
			"3s error partition one silent [n1] no way, no how",
			"3s heal partition one silent [n1]",
		)
	})
}

func TestHealFails(t *testing.T) {
	start := func(t *testing.T, works time.Duration, check func(t *testing.T, f *fake, err error)) {
		run(t, 3, func(f *fake) []fault {
			f.fails = func(action string) error {
				if action == "start n2" && time.Since(f.began) < works {
					return errors.New("no such program")
				}
				return nil
			}
			return []fault{a(1, &kill, find(t, &kill, "majority"), 1, 2, "n1", "n2", "n3")}
		}, check)
	}
	t.Run("once", func(t *testing.T) {
		start(t, 5*time.Second, func(t *testing.T, f *fake, err error) {
			wantHealed(t, f, err)
			wantEvents(t, f,
				"1s inject kill majority [n1 n2]",
				"2s error kill majority [n1 n2] cannot start n2: no such program",
				"10s heal kill majority [n1 n2]",
			)
		})
	})
	t.Run("for good", func(t *testing.T) {
		start(t, time.Hour, func(t *testing.T, f *fake, err error) {
			want := "nemesis: the cluster is not healed: cannot start n2: no such program"
			if err == nil || err.Error() != want {
				t.Errorf("got %v, want %s", err, want)
			}
			if diff := cmp.Diff([]string{"n2 is down"}, f.unhealed()); diff != "" {
				t.Error(diff)
			}
		})
	})
	t.Run("links", func(t *testing.T) {
		run(t, 3, func(f *fake) []fault {
			f.fails = func(action string) error {
				if action == "cut " {
					return errors.New("no way")
				}
				return nil
			}
			return []fault{a(1, &partition, find(t, &partition, "isolated"), 1, 2, "n1", "n2", "n3")}
		}, func(t *testing.T, f *fake, err error) {
			if err == nil || f.count(history.Heal) > 0 || f.count(history.Trouble) != 2 {
				t.Errorf("error %v, %v", err, f.told())
			}
		})
	})
}

// messy has every family in force when it is interrupted at two seconds.
func messy(t *testing.T) []fault {
	return []fault{
		a(1, &partition, find(t, &partition, "bridge"), 1, 9, "n1", "n2", "n3", "n4", "n5"),
		a(2, &kill, find(t, &kill, "one"), 1, 9, "n1", "n2", "n3", "n4", "n5"),
		a(3, &pause, find(t, &pause, "minority"), 1, 9, "n2", "n3", "n1", "n4", "n5"),
		a(4, &kill, find(t, &kill, "all"), 2, 9, "n2", "n3", "n1", "n4", "n5"),
	}
}

func TestCancelHeals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(5)
		ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer cancel()
		wantHealed(t, f, play(ctx, f.stage(10*time.Second, 1), messy(t)))
		wantEvents(t, f,
			"1s inject partition bridge silent",
			"1s inject kill one [n1]",
			"1s inject pause minority [n2 n3]",
			"1.5s heal partition bridge silent",
			"1.5s heal kill one [n1]",
			"1.5s heal pause minority [n2 n3]",
		)
	})
}

// A context that has ended before it began injects nothing.
func TestCanceledBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(5)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		wantHealed(t, f, parse(t, "all", 0).Play(ctx, f.stage(10*time.Second, 1)))
		wantEvents(t, f)
	})
}

func TestPanicHeals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(5)
		f.after = func(e history.Event) {
			if e.Fault == 4 {
				panic("disk full")
			}
		}
		defer func() {
			if recover() != "disk full" {
				t.Error("the panic was swallowed")
			}
			wantHealed(t, f, nil)
		}()
		play(t.Context(), f.stage(10*time.Second, 1), messy(t))
	})
}

// All families at once, many seeds: whatever overlaps, everything is healed and
// every fault is either injected and healed, or skipped.
func TestOverlappingSchedules(t *testing.T) {
	for seed := range uint64(100) {
		synctest.Test(t, func(t *testing.T) {
			f := newFake(5)
			s := parse(t, "all,rooms:n1,n2,n3/n4,n5,overlap", time.Second)
			wantHealed(t, f, s.Play(t.Context(), f.stage(30*time.Second, seed)))
			in, out, skipped := f.count(history.Inject), f.count(history.Heal), f.count(history.Skip)
			if in != out || in+skipped != 30 || f.count(history.Trouble) > 0 || in < 20 {
				t.Errorf("seed %d: %d injected, %d healed, %d skipped", seed, in, out, skipped)
			}
		})
	}
}

func TestNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(3)
		wantHealed(t, f, None().Play(t.Context(), f.stage(10*time.Second, 1)))
		wantEvents(t, f)
	})
}
