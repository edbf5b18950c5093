package nemesis

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/harness/history"
)

// The last fault in force has the clock; when it is healed, the one before has
// it again, and at last it is right.
func TestOverlappingClocks(t *testing.T) {
	var seen []string
	run(t, 3, func(f *fake) []fault {
		f.after = func(history.Event) {
			seen = append(seen, fmt.Sprint(f.clocks["n1"].Offset, " ", f.clocks["n2"].Offset))
		}
		order := []cluster.Node{"n1", "n2", "n3"}
		return []fault{
			worse(1, &clock, find(t, &clock, "all"), wrong(cluster.Clock{Offset: time.Hour}), 1, 4, order...),
			worse(2, &clock, find(t, &clock, "one"), wrong(cluster.Clock{Offset: -time.Second}), 2, 3, order...),
			worse(3, &clock, find(t, &clock, "one"), wrong(cluster.Clock{Offset: time.Second}), 3.5, 5, order...),
		}
	}, func(t *testing.T, f *fake, err error) {
		wantHealed(t, f, err)
		if diff := cmp.Diff([]string{"1h0m0s 1h0m0s", "-1s 1h0m0s", "1h0m0s 1h0m0s", "1s 1h0m0s", "1s 0s", "0s 0s"}, seen); diff != "" {
			t.Errorf("clocks of n1 and n2 (-want +got):\n%s", diff)
		}
	})
}

// A clock can be wrong on a node that is down, and is right at the end, also if
// healing failed at first.
func TestClockFailures(t *testing.T) {
	run(t, 3, func(f *fake) []fault {
		f.fails = func(action string) error {
			if action == "clock n2" && time.Since(f.began) < 5*time.Second {
				return errors.New("no way")
			}
			return nil
		}
		order := []cluster.Node{"n1", "n2", "n3"}
		return []fault{
			a(1, &kill, find(t, &kill, "one"), 1, 4, order...),
			worse(2, &clock, find(t, &clock, "one"), wrong(cluster.Clock{Offset: time.Hour}), 2, 3, order...),
			worse(3, &clock, find(t, &clock, "minority"), wrong(cluster.Clock{Drift: 0.1}), 2, 3, "n2", "n1", "n3"),
		}
	}, func(t *testing.T, f *fake, err error) {
		wantHealed(t, f, err)
		wantEvents(t, f,
			"1s inject kill one [n1]",
			"2s inject clock one [n1] 1h0m0s ahead",
			"2s error clock minority [n2] 10% fast no way",
			"2s error clock minority [n2] 10% fast no way",
			"3s heal clock one [n1] 1h0m0s ahead",
			"3s error clock minority [n2] 10% fast no way",
			"4s heal kill one [n1]",
			"10s heal clock minority [n2] 10% fast",
		)
	})
}

// What cannot be healed is said.
func TestClockStaysWrong(t *testing.T) {
	run(t, 3, func(f *fake) []fault {
		f.fails = func(action string) error {
			if action == "clock n1" && time.Since(f.began) > 1500*ms {
				return errors.New("the agent is gone")
			}
			return nil
		}
		return []fault{worse(1, &clock, find(t, &clock, "one"), wrong(cluster.Clock{Offset: 1}), 1, 2, "n1", "n2", "n3")}
	}, func(t *testing.T, f *fake, err error) {
		if err == nil || err.Error() != "nemesis: the cluster is not healed: the agent is gone" {
			t.Errorf("error %v", err)
		}
	})
}

// Without clock faults nobody asks a world for clocks.
func TestClocksAreLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(3)
		f.fails = func(action string) error {
			if slices.Contains([]string{"clock n1", "clock n2", "clock n3"}, action) {
				t.Error(action)
			}
			return nil
		}
		wantHealed(t, f, parse(t, "partition,kill,pause,latency", time.Second).Play(t.Context(), f.stage(10*time.Second, 1)))
	})
}

// Single processes get their signals, nobody else does; a node that exits with
// one is no surprise, and is whole again afterwards.
func TestSingleProcesses(t *testing.T) {
	run(t, 3, func(f *fake) []fault {
		time.AfterFunc(3500*ms, func() { f.setState("n2", cluster.Exited) })
		single := func(planned fault) fault { planned.processes = "redis-server"; return planned }
		order := []cluster.Node{"n1", "n2", "n3"}
		return []fault{
			single(a(1, &pause, find(t, &pause, "one"), 1, 3, order...)),
			a(2, &pause, find(t, &pause, "minority"), 2, 2.5, order...),
			single(a(3, &kill, find(t, &kill, "one"), 3, 4, "n2", "n1", "n3")),
		}
	}, func(t *testing.T, f *fake, err error) {
		wantHealed(t, f, err)
		wantEvents(t, f,
			"1s inject pause one redis-server [n1]",
			"2s skip pause minority [n1] no victim runs: n1 lacks its redis-server",
			"3s heal pause one redis-server [n1]",
			"3s inject kill one redis-server [n2]",
			"4s heal kill one redis-server [n2]",
		)
		want := []string{"n1 redis-server stopped (signal)", "n1 redis-server continued", "n2 redis-server killed"}
		if diff := cmp.Diff(want, f.signals); diff != "" {
			t.Errorf("signals (-want +got):\n%s", diff)
		}
	})
}

// A process that cannot be continued is tried again at the end, and told of.
func TestProcessStaysStopped(t *testing.T) {
	run(t, 3, func(f *fake) []fault {
		f.fails = func(action string) error {
			if action == "continued n1" {
				return errors.New("no way")
			}
			return nil
		}
		planned := a(1, &pause, find(t, &pause, "one"), 1, 2, "n1", "n2", "n3")
		planned.processes = "java"
		return []fault{planned}
	}, func(t *testing.T, f *fake, err error) {
		if err == nil || err.Error() != "nemesis: the cluster is not healed: pause of n1: no way" || len(f.signals) != 4 {
			t.Errorf("error %v, signals %q", err, f.signals)
		}
	})
}

// A world that cannot signal single processes refuses, and that is no trouble.
func TestUnsupportedSignal(t *testing.T) {
	run(t, 3, func(f *fake) []fault {
		f.fails = func(action string) error {
			if action == "stopped (signal) n1" {
				return fmt.Errorf("not here: %w", errors.ErrUnsupported)
			}
			return nil
		}
		planned := a(1, &pause, find(t, &pause, "one"), 1, 2, "n1", "n2", "n3")
		planned.processes = "java"
		return []fault{planned}
	}, func(t *testing.T, f *fake, err error) {
		wantHealed(t, f, err)
		wantEvents(t, f, "1s skip pause one java [n1] not here: unsupported operation")
	})
}
