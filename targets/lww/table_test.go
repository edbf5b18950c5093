package lww

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/targets/internal/line"
)

var anyEntry = rapid.Custom(func(t *rapid.T) entry {
	value := rapid.Int64Range(1, 3).Draw(t, "value")
	if rapid.Bool().Draw(t, "element") {
		return element(value)
	}
	return entry{
		register(rapid.SampledFrom([]string{"x", "y"}).Draw(t, "key")), value,
		rapid.Int64Range(1, 3).Draw(t, "time"), rapid.SampledFrom([]cluster.Node{"n1", "n2"}).Draw(t, "node"),
	}
})

// Tables that have merged the same entries are equal, digests and all, whatever
// the order and the repetitions; and what they lack shows in their digests.
func TestMerge(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		entries := rapid.SliceOf(anyEntry).Draw(t, "entries")
		a, b := newTable(), newTable()
		for _, e := range entries {
			a.merge(e)
		}
		for _, i := range rapid.Permutation(append(entries, entries...)).Draw(t, "again") {
			b.merge(i)
		}
		if diff := cmp.Diff(a, b, cmp.AllowUnexported(table{}, entry{})); diff != "" {
			t.Fatal(diff)
		}
		more := anyEntry.Draw(t, "more")
		changed := b.merge(more)
		if changed == (a.digests == b.digests) {
			t.Fatalf("after %v, merged: %t, digests equal: %t", more, changed, a.digests == b.digests)
		}
	})
}

// The last writer wins, and of two at one time the node of the greater name.
func TestLastWriterWins(t *testing.T) {
	table := newTable()
	for _, test := range []struct {
		entry string
		wins  bool
	}{
		{"r/x 1 100 n1", true},
		{"r/x 2 99 n9", false},
		{"r/x 3 100 n1", true}, // no node writes twice at one time, but all must agree if one does
		{"r/x 1 100 n2", true},
		{"r/x 9 100 n1", false},
		{"r/x 4 101 n1", true},
		{"e/5 5 0 -", true},
		{"e/5 5 0 -", false},
	} {
		entries, err := parseEntries(strings.Fields(test.entry))
		if err != nil {
			t.Fatal(err)
		}
		if got := table.merge(entries[0]); got != test.wins {
			t.Errorf("%s wins: %t, want %t", test.entry, got, test.wins)
		}
	}
}

// alone returns a node without peers.
func alone(t *testing.T, name cluster.Node) *server {
	t.Helper()
	s, err := open(cluster.Place{Node: name, Data: t.TempDir(), Peers: map[cluster.Node]string{name: "a"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.file.Close() })
	return s
}

// serve lets a node serve until the test ends, and returns its address.
func serve(t *testing.T, s *server) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- line.Serve(ctx, listener, s.serve) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return listener.Addr().String()
}

// Two nodes that compare, however much each lacks, are equal afterwards.
func TestCompare(t *testing.T) {
	for _, size := range []int{0, 1, 100} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			a, b := alone(t, "n1"), alone(t, "n2")
			for i := range int64(size) {
				target := []*server{a, b}[rand.N(2)]
				if _, err := target.merge(element(i), entry{register(fmt.Sprint(i % 7)), i, i, "n3"}); err != nil {
					t.Fatal(err)
				}
			}
			a.place.Peers = map[cluster.Node]string{"n2": serve(t, b)}
			if _, _, err := a.compareWith(t.Context(), "n2"); err != nil {
				t.Fatal(err)
			}
			a.mu.Lock()
			b.mu.Lock()
			defer a.mu.Unlock()
			defer b.mu.Unlock()
			if diff := cmp.Diff(a.table, b.table, cmp.AllowUnexported(table{}, entry{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRejects(t *testing.T) {
	s := alone(t, "n1")
	for _, words := range []string{"r/x 1 2", "r/x a 2 n1", "r/x 1 b n1", "r/ 1 2 n1", "x 1 2 n1", "e/1 2 0 -", "e/1 1 5 -", "e/1 1 0 n1"} {
		if reply := s.merged(strings.Fields(words)); !strings.HasPrefix(reply, "refused") {
			t.Errorf("merge %s: %s", words, reply)
		}
	}
	for _, words := range []string{"", "1 2 3", strings.Repeat("x ", buckets)} {
		if reply := s.compared(strings.Fields(words)); !strings.HasPrefix(reply, "refused") {
			t.Errorf("compare %s: %s", words, reply)
		}
	}
	if len(s.table.entries) > 0 {
		t.Errorf("rejected, and kept: %v", s.table.entries)
	}
}

func FuzzParseEntries(f *testing.F) {
	f.Add("r/x 1 2 n1 e/5 5 0 -")
	f.Add("r/x 1 2")
	f.Add("e/05 5 0 -")
	f.Fuzz(func(t *testing.T, text string) {
		entries, err := parseEntries(strings.Fields(text))
		if err != nil {
			return
		}
		var words []string
		for _, e := range entries {
			words = append(words, strings.Fields(e.String())...)
		}
		again, err := parseEntries(words)
		if diff := cmp.Diff(entries, again, cmp.AllowUnexported(entry{})); diff != "" || err != nil {
			t.Fatal(diff, err)
		}
	})
}
