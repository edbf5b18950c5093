package jepsen_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rashomon-io/rashomon/checker"
	"github.com/rashomon-io/rashomon/harness/history"
	"github.com/rashomon-io/rashomon/harness/history/jepsen"
)

// Porcupine's module carries the histories that it is tested with, and its
// tests say which of them are linearizable.
func TestPorcupinesVerdicts(t *testing.T) {
	dir, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/anishathalye/porcupine").Output()
	if err != nil {
		t.Skipf("go list: %v", err)
	}
	root := strings.TrimSpace(string(dir))
	source, err := os.ReadFile(filepath.Join(root, "porcupine_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]checker.Verdict{}
	verdict := map[string]checker.Verdict{"true": checker.Valid, "false": checker.Invalid}
	for _, call := range regexp.MustCompile(`checkJepsen\(t, (\d+), (true|false)\)`).FindAllStringSubmatch(string(source), -1) {
		want[fmt.Sprintf("jepsen/etcd_%03s.log", call[1])] = verdict[call[2]]
	}
	for _, call := range regexp.MustCompile(`checkKv\(t, "(.*)", (true|false), true\)`).FindAllStringSubmatch(string(source), -1) {
		want["kv/"+call[1]+".txt"] = verdict[call[2]]
	}
	if len(want) != 108 {
		t.Fatalf("Porcupine's tests have %d verdicts; want 102 of etcd and 6 of kv", len(want))
	}
	for name, verdict := range want {
		t.Run(name, func(t *testing.T) {
			file, err := os.Open(filepath.Join(root, "test_data", name))
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			made, err := jepsen.Read(file, jepsen.Options{})
			if err != nil {
				t.Fatal(err)
			}
			result := checker.Check(t.Context(), &history.Run{History: made.History}, checker.Register, checker.Options{})
			if result.Verdict != verdict {
				t.Errorf("got %s %s, want %s", result.Verdict, result.Reason, verdict)
			}
		})
	}
}
