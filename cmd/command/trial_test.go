package command

import (
	"bytes"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestShellQuotesWhatAShellWouldChange(t *testing.T) {
	words := []string{"rashomon", "run", "raft:reads=local", "--nemesis", "rooms:n1,n2/n3", "--replay", "my runs/it's $HOME; `id`/nemesis.jsonl", "", "-1"}
	want := `rashomon run raft:reads=local --nemesis rooms:n1,n2/n3 --replay 'my runs/it'\''s $HOME; ` + "`id`" + `/nemesis.jsonl' '' -1`
	if got := shell(words); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

// A real shell splits the command line into the same words.
func TestShellIsUndoneByAShell(t *testing.T) {
	if _, err := exec.LookPath("sh"); err != nil {
		t.Skip("no sh in PATH")
	}
	rapid.Check(t, func(t *rapid.T) {
		words := rapid.SliceOfN(rapid.StringMatching(`[a-z $'"\\*?~#!&|;<>()\[\]{}=\n\t-]{0,12}`), 1, 4).Draw(t, "words")
		got, err := exec.Command("sh", "-c", `printf '%s\000' `+shell(words)).Output()
		if err != nil {
			t.Fatal(err)
		}
		if split := strings.Split(strings.TrimSuffix(string(got), "\x00"), "\x00"); !slices.Equal(split, words) {
			t.Errorf("%q became %q", words, split)
		}
	})
}

// No number is silently taken for the default, and nothing is made before it is
// refused.
func TestNumbersThatNoTrialCanHaveAreRefused(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, test := range []struct {
		flag   string
		values []string
		want   string // after the flag and the first value
	}{
		{"nodes", []string{"0", "-3", "65"}, "(want 1 to 64)"},
		{"concurrency", []string{"0", "-1", "10001"}, "(want 1 to 10000, or leave it out for 4 a node)"},
		{"rate", []string{"0", "NaN", "Inf", "-Inf", "1e-300"}, "(want operations per second, at least 0.001, or -1 for as fast as clients can)"},
		{"operations", []string{"0", "-1"}, "(want 1 or more, or leave it out for no limit)"},
		{"seed", []string{"0", "-1", "x"}, "(want 1 or more, or leave it out for a random one)"},
		{"check-memory", []string{"0", "-1", "17592186044416"}, "(want MiB, 1 to 16777216)"},
		{"interval", []string{"0s", "-1s", "5"}, "(want more than 0, such as 500ms)"},
		{"quiet", []string{"0s", "-1s"}, "(want more than 0, such as 500ms)"},
		{"duration", []string{"0s", "-1s"}, "(want more than 0, such as 500ms)"},
		{"recovery", []string{"0s", "-1s"}, "(want more than 0, such as 500ms)"},
		{"timeout", []string{"0s", "-1s"}, "(want more than 0, such as 500ms)"},
		{"check-time", []string{"0s", "-1s"}, "(want more than 0, such as 500ms)"},
		{"repeat", []string{"0", "-1", "1001"}, "(want 1 to 1000)"},
	} {
		for i, value := range test.values {
			for _, command := range [][]string{{"run", "lww"}, {"compare", "lww", "raft"}, {"check", "."}} {
				checks := strings.HasPrefix(test.flag, "check-")
				if command[0] == "check" && !checks || command[0] == "run" && test.flag == "repeat" {
					continue
				}
				var out, errs bytes.Buffer
				code := rashomon.run(append(command, "--"+test.flag, value), &out, &errs)
				want := "rashomon: --" + test.flag + " " + value + " " + test.want + "\n"
				if told := errs.String(); code != exitUsage || strings.Count(told, "\n") != 1 || i == 0 && told != want {
					t.Errorf("%v --%s %s: exit code %d, %q; want %q", command, test.flag, value, code, told, want)
				}
			}
		}
	}
	if made, err := os.ReadDir("."); err != nil || len(made) > 0 {
		t.Errorf("left behind: %v, %v", made, err)
	}
}
