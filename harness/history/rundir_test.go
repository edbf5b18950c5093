package history

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
)

var noon = time.Date(2026, 3, 1, 12, 0, 5, 0, time.UTC)

func TestCreateRunDir(t *testing.T) {
	parent := filepath.Join(t.TempDir(), "runs")
	for _, want := range []string{
		"raft-reads-local-register-20260301T120005",
		"raft-reads-local-register-20260301T120005-2",
		"raft-reads-local-register-20260301T120005-3",
	} {
		dir, err := CreateRunDir(parent, "raft reads=local-register", noon)
		if err != nil {
			t.Fatal(err)
		}
		if dir != filepath.Join(parent, want) {
			t.Errorf("got %s, want %s", dir, want)
		}
		if _, err := os.ReadDir(filepath.Join(dir, LogsDir)); err != nil {
			t.Error(err)
		}
		if latest, err := os.Readlink(filepath.Join(parent, LatestLink)); err != nil || latest != want {
			t.Errorf("latest is %q, %v; want %q", latest, err, want)
		}
	}
	entries, err := os.ReadDir(parent)
	if err != nil || len(entries) != 4 {
		t.Errorf("left %v, %v", entries, err)
	}
}

func TestCreateRunDirLeavesARealLatestAlone(t *testing.T) {
	parent := t.TempDir()
	if err := os.MkdirAll(filepath.Join(parent, LatestLink, "precious"), 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := CreateRunDir(parent, "raft", noon); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(parent)
	if err != nil || len(entries) != 2 {
		t.Errorf("left %v, %v", entries, err)
	}
}

func TestSafeName(t *testing.T) {
	for name, want := range map[string]string{
		"raft":                   "raft",
		"a/b\\c: d=e":            "a-b-c-d-e",
		"../../etc":              "etc",
		"-rf":                    "rf",
		".hidden":                "hidden",
		"":                       "run",
		"日本":                     "run",
		strings.Repeat("x", 999): strings.Repeat("x", 100),
	} {
		if got := safeName(name); got != want {
			t.Errorf("%q became %q, want %q", name, got, want)
		}
	}
}

// recordRun writes a whole run directory.
func recordRun(t *testing.T) (dir string, want *Run) {
	t.Helper()
	dir, err := CreateRunDir(t.TempDir(), "raft-register", noon)
	if err != nil {
		t.Fatal(err)
	}
	manifest := Manifest{
		Version: Version, Target: "raft", Workload: "register", Claim: Claim{CAP: "CP"},
		Nodes: []string{"n1", "n2"}, Seed: 1<<64 - 1, Quiet: time.Second, Started: noon,
	}
	if err := WriteManifest(dir, manifest); err != nil {
		t.Fatal(err)
	}
	recorder, err := NewRecorder(dir)
	if err != nil {
		t.Fatal(err)
	}
	event := Event{Time: 5, Type: Heal, Fault: 1, Took: 2}
	recorder.Event(event)
	op := Operation{Kind: Write, Key: "x", Input: Ints(1)}
	lane := recorder.Lane()
	lane.Invoke(&op)
	op.Outcome = OK
	lane.Complete(&op)
	if err := recorder.Close(); err != nil {
		t.Fatal(err)
	}
	return dir, &Run{Dir: dir, Manifest: manifest, History: History{Operations: []Operation{op}}, Events: []Event{event}}
}

func TestReadRun(t *testing.T) {
	dir, want := recordRun(t)
	got, err := ReadRun(dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	latest := filepath.Join(filepath.Dir(dir), LatestLink)
	if got, err = ReadRun(latest); err != nil || got.Dir != latest {
		t.Errorf("through the link: %v", err)
	}
}

func TestReadRunWithoutNemesis(t *testing.T) {
	dir, want := recordRun(t)
	os.Remove(filepath.Join(dir, NemesisFile))
	got, err := ReadRun(dir)
	if err != nil {
		t.Fatal(err)
	}
	want.Events = nil
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestReadRunTorn(t *testing.T) {
	dir, _ := recordRun(t)
	path := filepath.Join(dir, HistoryFile)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, info.Size()-40); err != nil {
		t.Fatal(err)
	}
	run, err := ReadRun(dir)
	if err != nil || run.History.Torn == "" {
		t.Errorf("torn %q, error %v", run.History.Torn, err)
	}
}

func TestReadRunRefuses(t *testing.T) {
	overwrite := func(name, text string) func(string) error {
		return func(dir string) error { return os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666) }
	}
	remove := func(name string) func(string) error {
		return func(dir string) error { return os.RemoveAll(filepath.Join(dir, name)) }
	}
	for _, test := range []struct {
		name   string
		damage func(dir string) error
		want   string
	}{
		{"no directory", remove(""), "is not a directory; want a run directory, such as runs/latest"},
		{"no manifest", remove(TrialFile), "holds no trial.json; want a run directory"},
		{"no history", remove(HistoryFile), "holds no history.jsonl; want a run directory"},
		{"version", overwrite(TrialFile, `{"version":9}`), "is of version 9; this build reads versions 1 to 2"},
		{"manifest", overwrite(TrialFile, `{"version":`), "trial.json: unexpected EOF"},
		{"history", overwrite(HistoryFile, "x\n"), "history.jsonl:1: not a history"},
		{"nemesis", overwrite(NemesisFile, `{"time_ns":1,"type":"x"}`), "nemesis.jsonl:1: unknown type"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir, _ := recordRun(t)
			if err := test.damage(dir); err != nil {
				t.Fatal(err)
			}
			_, err := ReadRun(dir)
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got error %v, want %q", err, test.want)
			}
		})
	}
}

func TestWriteJSONKeepsTheOldFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, ResultFile)
	if err := WriteJSON(path, 1); err != nil {
		t.Fatal(err)
	}
	if err := WriteJSON(path, func() {}); err == nil {
		t.Error("a function is no JSON")
	}
	if err := os.Mkdir(path+".tmp", 0o777); err != nil {
		t.Fatal(err)
	}
	if err := WriteJSON(path, 2); err == nil {
		t.Error("wrote through a directory")
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "1\n" {
		t.Errorf("left %q, %v", text, err)
	}
}
