package harness_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rashomon-io/rashomon/checker"
	"github.com/rashomon-io/rashomon/harness"
	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/workloads"
)

// goTest runs one of the tests in testdata/inner, as a user does.
func goTest(t *testing.T, server, test string, flags ...string) string {
	t.Helper()
	arguments := append([]string{"test", "-run", "^" + test + "$"}, flags...)
	command := exec.CommandContext(t.Context(), "go", append(arguments, "./testdata/inner")...)
	command.Env = append(os.Environ(), "INNER_SERVER="+server, "GOFLAGS=") // not -count=1, which caches nothing
	text, err := command.CombinedOutput()
	if _, failed := errors.AsType[*exec.ExitError](err); err != nil && !failed {
		t.Fatal(err)
	}
	return string(text)
}

func innerServer(t *testing.T, script string) string {
	t.Helper()
	server := filepath.Join(t.TempDir(), "server")
	if err := os.WriteFile(server, []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return server
}

// A trial that has passed runs again, since its server may be another one by now. A test
// without a trial is cached, which shows that this test can fail.
func TestAPassIsNotCached(t *testing.T) {
	server := innerServer(t, "exec sleep 60")
	for test, want := range map[string]bool{"TestPasses": false, "TestWithoutTrial": true} {
		first := goTest(t, server, test)
		if !strings.HasPrefix(first, "ok ") {
			t.Fatalf("%s: %s", test, first)
		}
		if err := os.WriteFile(server, []byte("#!/bin/sh\nexec sleep 61\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		if second := goTest(t, server, test); strings.Contains(second, "(cached)") != want {
			t.Errorf("%s with another server: %s", test, second)
		}
	}
}

// The run directory of a failed trial is kept and named; a pass leaves none, and says
// how to have one.
func TestRunDirectoryOfAFailedTest(t *testing.T) {
	server := innerServer(t, "exec sleep 60")
	runs := filepath.Join("testdata", "inner", "rashomon-runs")
	if _, err := os.Stat(runs); err == nil {
		t.Fatalf("%s is there already", runs)
	}
	t.Cleanup(func() { os.RemoveAll(runs) })
	pass := goTest(t, server, "TestPasses", "-count=1", "-v")
	if !strings.Contains(pass, "no run directory is kept of a pass; go test -artifacts keeps it\n") {
		t.Errorf("a pass says\n%s", pass)
	}
	if _, err := os.Stat(runs); err == nil {
		t.Error("a pass leaves its run directory")
	}
	failure := goTest(t, server, "TestFails")
	named := regexp.MustCompile(`run directory: (\S+)`).FindStringSubmatch(failure)
	if named == nil || !strings.Contains(failure, "FAIL") {
		t.Fatalf("the failure names no run directory:\n%s", failure)
	}
	if _, err := os.Stat(filepath.Join(named[1], "result.json")); err != nil || !strings.Contains(named[1], runs) {
		t.Errorf("run directory %s: %v", named[1], err)
	}
}

// A trial that did not begin leaves a run directory if a node has said something.
func TestRunDirectoryOfATrialThatDidNotBegin(t *testing.T) {
	runs := filepath.Join("testdata", "inner", "rashomon-runs")
	t.Cleanup(func() { os.RemoveAll(runs) })
	for script, kept := range map[string]bool{"exit 2": false, "echo unknown flag >&2; exit 2": true} {
		text := goTest(t, innerServer(t, script), "TestNeverServes")
		if !strings.Contains(text, "ended by itself before the cluster served: exit status 2: ") {
			t.Errorf("%s: %s", script, text)
		}
		if _, err := os.Stat(runs); kept != (err == nil) || kept != strings.Contains(text, "run directory: ") || kept != strings.Contains(text, "; see ") {
			t.Errorf("%s: want a run directory: %t, have %v:\n%s", script, kept, err, text)
		}
		if err := os.RemoveAll(runs); err != nil {
			t.Fatal(err)
		}
	}
}

// A trial that cannot end in time is refused at once, in a line.
func TestATrialTooLongForGoTest(t *testing.T) {
	began := time.Now()
	text := goTest(t, innerServer(t, "exec sleep 60"), "TestLong", "-timeout=30s")
	if !strings.Contains(text, "and go test ends it in 30s: use a -timeout that is") || strings.Contains(text, "goroutine ") || time.Since(began) > 25*time.Second {
		t.Errorf("after %v:\n%s", time.Since(began), text)
	}
}

// A bounded test has a deadline.
type bounded struct {
	*fakeTB
	deadline time.Time
}

func (b bounded) Deadline() (time.Time, bool) { return b.deadline, true }

// A trial that is late, because its cluster was slow to start or does not recover, is
// cut short, and has its verdict before the test's deadline.
func TestVerdictBeforeTheDeadline(t *testing.T) {
	for name, slow := range map[string]bool{"slow start": true, "no recovery": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, began := &store{}, time.Now()
				target := s.target()
				if slow {
					target.Ready = func(context.Context, cluster.Cluster) error {
						if time.Since(began) < 20*time.Second {
							return errors.New("not yet")
						}
						return nil
					}
				} else {
					s.around = func(_ context.Context, _, _ string, do func()) error {
						if time.Since(began) > 20*time.Second {
							return errReset
						}
						do()
						return nil
					}
				}
				tb := bounded{&fakeTB{TB: t}, began.Add(time.Minute)}
				result := harness.Check(tb, harness.Trial{
					Target: target, Workload: workloads.Register{}, Nodes: 3, Rate: 200, Duration: 30 * time.Second, Dir: t.TempDir(),
				})
				if took := time.Since(began); took > time.Minute || result.Verdict == "" {
					t.Errorf("after %v: %s, %s", took, result.Verdict, tb.failed)
				}
				if slow && result.AsClaimed != checker.AsClaimed {
					t.Errorf("%s: %s", result.AsClaimed, tb.failed)
				}
				if !slow && tb.failed == "" {
					t.Error("a system that serves no more passes")
				}
			})
		})
	}
}
