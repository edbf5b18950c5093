package node

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rashomon-io/rashomon/harness/cluster"
)

func TestArgs(t *testing.T) {
	want := cluster.Place{
		Node: "n1", Listen: "127.0.0.1:1", Data: "/a place, with=signs",
		Peers: map[cluster.Node]string{"n1": "127.0.0.1:1", "n2": "[::1]:2"},
	}
	args := Args("mine", want)
	if args[0] != "node" || args[1] != "mine" {
		t.Errorf("%q is not the hidden subcommand", args[:2])
	}
	got, err := Parse("mine", args[2:])
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]cluster.Node{"n2"}, Others(got)); diff != "" {
		t.Error(diff)
	}
}

func TestParseRejects(t *testing.T) {
	for _, test := range []struct{ args, want string }{
		{"", "want --id"},
		{"--id=n1 --listen=a --data=b --peers=n2=c", "lacks --id n1"},
		{"--id=n1 --listen=a --data=b --peers=n1", "not NODE=ADDRESS"},
		{"--id=n1 --listen=a --data=b --peers=n1=a more", `unexpected argument "more"`},
		{"--nonsense", "not defined"},
	} {
		_, err := Parse("mine", strings.Fields(test.args))
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.args, err, test.want)
		}
	}
}

// read opens the log, returns its lines and what is to be done at the end.
func read(t *testing.T, path string) (*Log, []string) {
	t.Helper()
	var lines []string
	log, err := OpenLog(path, func(text string) error {
		lines = append(lines, text)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return log, lines
}

func TestLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	log, lines := read(t, path)
	if err := errors.Join(log.Append("one"), log.Append("two")); err != nil || len(lines) > 0 {
		t.Fatal(lines, err)
	}
	// What is appended is there for whoever comes after a kill, without Close.
	text, err := os.ReadFile(path)
	if diff := cmp.Diff("one\ntwo\n", string(text)); diff != "" || err != nil {
		t.Error(diff, err)
	}
	if err := errors.Join(log.Replace(slices.Values([]string{"both"})), log.Append("three"), log.Close()); err != nil {
		t.Fatal(err)
	}
	// A crash in the middle of a write leaves a torn line.
	file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = file.WriteString("fou")
	if err := errors.Join(err, file.Close()); err != nil {
		t.Fatal(err)
	}

	log, lines = read(t, path)
	if diff := cmp.Diff([]string{"both", "three"}, lines); diff != "" {
		t.Error(diff)
	}
	if err := errors.Join(log.Append("four"), log.Close()); err != nil {
		t.Fatal(err)
	}
	log, lines = read(t, path)
	defer log.Close()
	if diff := cmp.Diff([]string{"both", "three", "four"}, lines); diff != "" {
		t.Error(diff)
	}
}

func TestLogAsksToBeReplaced(t *testing.T) {
	log, _ := read(t, filepath.Join(t.TempDir(), "log"))
	defer log.Close()
	for range maxLines {
		if err := log.Append("x"); err != nil || log.Full() {
			t.Fatal("full too early", err)
		}
	}
	if err := log.Append("x"); err != nil || !log.Full() {
		t.Fatal("not full", err)
	}
	if err := log.Replace(slices.Values([]string{"x"})); err != nil || log.Full() {
		t.Fatal("still full", err)
	}
}

func TestLogSaysWhichLineIsBad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(path, []byte("good\nbad\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := OpenLog(path, func(text string) error {
		if text == "bad" {
			return errors.New("no good")
		}
		return nil
	})
	if err == nil || !strings.HasSuffix(err.Error(), "log: line 2: no good") {
		t.Error(err)
	}
}

// After a failed write nobody knows what the file holds.
func TestLogFailsForGood(t *testing.T) {
	log, _ := read(t, filepath.Join(t.TempDir(), "log"))
	log.file.Close()
	first := log.Append("x")
	if first == nil {
		t.Fatal("no error")
	}
	if err := log.Replace(slices.Values([]string{"x"})); !errors.Is(err, first) {
		t.Error(err)
	}
	log.Close()
}
