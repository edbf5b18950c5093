package async

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/targets/internal/line"
	"github.com/rashomon-io/rashomon/targets/internal/node"
)

// alone returns n1 of three, without a network.
func alone(t *testing.T, data string) *server {
	t.Helper()
	s, err := open(cluster.Place{Node: "n1", Data: data, Peers: map[cluster.Node]string{"n1": "a", "n2": "b", "n3": "c"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.file.Close() })
	return s
}

// What comes late, as a cut link delivers it when it heals, changes nothing.
func TestLateMessages(t *testing.T) {
	data := t.TempDir()
	s := alone(t, data)
	say := func(want, verb string, words ...string) {
		t.Helper()
		got := map[string]func([]string) string{"ping": s.pinged, "vote": s.votes, "promote": s.promoted}[verb](words)
		if !strings.HasPrefix(got, want) {
			t.Errorf("%s %s: %s, want %s", verb, words, got, want)
		}
	}
	say("status 0 - 0 0 false", "ping", "0", "-")
	say("ok", "promote", "5")
	say("status 5 n1 5 1 true", "ping", "4", "n2")
	say("refused", "promote", "5")
	say("refused", "vote", "5")
	say("granted", "vote", "7")
	say("refused", "vote", "7")
	say("refused", "promote", "6") // it has voted for somebody newer
	say("status 6 n3 5 1", "ping", "6", "n3")
	say("status 6 n3 5 1", "ping", "9", "n9") // nobody knows an n9
	say("status 6 n3 5 1", "ping", "9", "-")
	if current, err := s.obey([]string{"do", "2", "set", "x", "1"}, 5); current || err != nil {
		t.Errorf("a command of epoch 5 in epoch 6: %t, %v", current, err)
	}
	if current, err := s.obey([]string{"do", "3", "set", "x", "1"}, 6); current || err == nil {
		t.Errorf("a command after a gap: %t, %v", current, err)
	}
	if current, err := s.obey([]string{"do", "2", "set", "x", "1"}, 6); !current || err != nil {
		t.Errorf("the next command: %t, %v", current, err)
	}
	say("refused", "ping", "6")
	say("refused", "vote")
	say("refused", "promote", "x")

	// A kill and a restart forget the primary, but neither the epoch nor the vote.
	again, err := open(cluster.Place{Node: "n1", Data: data})
	if err != nil {
		t.Fatal(err)
	}
	defer again.file.Close()
	if got, want := again.status(time.Now()), (status{6, "", 5, 2, false}); got != want || again.voted != 7 {
		t.Errorf("after a restart: %v, voted %d; want %v, 7", got, again.voted, want)
	}
}

// dial connects to a server's serve, and returns the other end.
func dial(t *testing.T, s *server) *line.Conn {
	t.Helper()
	near, far := net.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan struct{})
	go func() {
		defer close(served)
		defer far.Close()
		s.serve(ctx, line.New(far))
	}()
	t.Cleanup(func() {
		cancel()
		near.Close()
		<-served
	})
	return line.New(near)
}

func TestStreamOpening(t *testing.T) {
	s := alone(t, t.TempDir())
	s.promoted([]string{"3"})
	for i := range 2*maxBacklog + 10 {
		if reply := s.answer([]string{"set", "x", fmt.Sprint(i)}); reply != "ok" {
			t.Fatal(reply)
		}
	}
	end := s.store.offset
	for _, test := range []struct{ hello, want string }{
		{fmt.Sprintf("sync 3 %d 3:0", end-1), "continue"},
		{fmt.Sprintf("sync 3 %d 3:0", s.oldest()), "continue"},
		{fmt.Sprintf("sync 3 %d 3:0", s.oldest()-1), "snapshot"},
		{"sync 3 0 -", "snapshot"},
		{fmt.Sprintf("sync 3 %d 2:0", end-1), "snapshot"},     // another history
		{fmt.Sprintf("sync 3 %d 3:0,4:9", end-1), "snapshot"}, // one that branched off
		{fmt.Sprintf("sync 3 %d 3:0", end+1), "snapshot"},     // one that has more
		{fmt.Sprintf("sync 2 %d 3:0", end-1), "refused"},      // of another epoch
		{fmt.Sprintf("sync 4 %d 3:0", end-1), "refused"},      // of another epoch
	} {
		conn := dial(t, s)
		if err := conn.Send(test.hello); err != nil {
			t.Fatal(err)
		}
		words, err := conn.Receive()
		if err != nil || words[0] != test.want {
			t.Errorf("%s: %.80q, %v, want %s", test.hello, words, err, test.want)
		}
		conn.Close()
	}
}

func TestStreamGoesOn(t *testing.T) {
	s := alone(t, t.TempDir())
	s.promoted([]string{"3"})
	s.answer([]string{"set", "x", "1"})
	conn := dial(t, s)
	if err := conn.Send("sync 3 1 3:0"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"continue", "do 2 set x 1", "tick", "do 3 add 4"} {
		words, err := conn.Receive()
		if got := strings.Join(words, " "); got != want || err != nil {
			t.Fatalf("%q, %v, want %q", got, err, want)
		}
		if want == "tick" {
			s.answer([]string{"add", "4"})
		}
	}
	s.pinged([]string{"4", "n2"}) // news that it is the primary no longer
	for {
		if _, err := conn.Receive(); err != nil {
			break
		}
	}
}

// Random histories, held in full, must agree with what lineages say of them.
func TestLineages(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type command struct{ epoch int64 }
		histories := [][]*command{nil} // commands are the same if they are one
		lineages := []lineage{nil}
		for epoch := int64(1); epoch <= int64(rapid.IntRange(1, 8).Draw(t, "epochs")); epoch++ {
			// A node that holds a beginning of some history is promoted.
			of := rapid.IntRange(0, len(histories)-1).Draw(t, "of")
			length := rapid.IntRange(0, len(histories[of])).Draw(t, "length")
			history := slices.Clone(histories[of][:length])
			l := slices.DeleteFunc(slices.Clone(lineages[of]), func(b branch) bool { return b.start >= int64(length) })
			l = append(l, branch{epoch, int64(length)})
			for range rapid.IntRange(1, 5).Draw(t, "commands") {
				history = append(history, &command{epoch})
			}
			histories, lineages = append(histories, history), append(lineages, l)
		}
		a := rapid.IntRange(0, len(histories)-1).Draw(t, "a")
		b := rapid.IntRange(0, len(histories)-1).Draw(t, "b")
		want := 0
		for want < min(len(histories[a]), len(histories[b])) && histories[a][want] == histories[b][want] {
			want++
		}
		got := shared(lineages[a], int64(len(histories[a])), lineages[b], int64(len(histories[b])))
		if got != int64(want) {
			t.Fatalf("%v and %v share %d, want %d", lineages[a], lineages[b], got, want)
		}
		writes := 0
		for i, c := range histories[a][want:] {
			if before := want + i - 1; before >= 0 && histories[a][before].epoch == c.epoch {
				writes++
			}
		}
		if got := lineages[a].writesAfter(int64(want), int64(len(histories[a]))); got != int64(writes) {
			t.Fatalf("%v has %d writes after %d, want %d", lineages[a], got, want, writes)
		}
		again, err := parseLineage(lineages[a].String(), int64(len(histories[a])))
		if diff := cmp.Diff(lineages[a], again, cmp.AllowUnexported(branch{})); diff != "" || err != nil {
			t.Fatal(diff, err)
		}
	})
}

func TestLoadRejects(t *testing.T) {
	for _, text := range []string{
		"snapshot 1 - 0",
		"snapshot -1 - 0",
		"snapshot 5 1:0 -1",
		"snapshot 5 1:5 0",
		"snapshot 5 1:0,1:2 0",
		"snapshot 5 2:0,1:2 0",
		"snapshot 5 1:2,2:2 0",
		"snapshot 5 x 0",
		"snapshot 5 1:0 1\nepoch 2",
		"epoch 1\nepoch 1",
		"set x 1",
		"snapshot 0 - 1\nadd 1",
		"epoch 1\nset x",
		"epoch 1\nset x y z",
		"epoch 1\nadd one",
		"epoch 1\nadd",
		"epoch 1\nadd 1 2",
		"epoch 1\ndequeue q 1",
		"epoch 1\nenqueue q 1\nenqueue q 2\ndequeue q 2",
		"epoch 1\nacquire l 1\nacquire l 2",
		"epoch 1\nacquire l 1\nrelease l 2",
		"",
	} {
		s, rejected := newStore(), false
		for command := range strings.SplitSeq(text, "\n") {
			rejected = s.load(command) != nil
		}
		if !rejected {
			t.Errorf("%q was accepted", text)
		}
	}
	path := t.TempDir()
	if err := node.WriteFile(filepath.Join(path, "appendonly"), "snapshot 5 1:0 1"); err != nil {
		t.Fatal(err)
	}
	if _, err := open(cluster.Place{Node: "n1", Data: path}); err == nil {
		t.Error("half a snapshot was accepted")
	}
}

// Whatever a store accepts, its snapshot brings to another.
func FuzzLoad(f *testing.F) {
	f.Add("snapshot 9 1:0,3:4 2\nset x 1\nadd 2\nset x 3\nepoch 4\nadd 5")
	f.Add("epoch 1\nset x 1\nadd -3")
	f.Add("epoch 1\nenqueue q 1\nenqueue q 2\ndequeue q 1\nacquire l 1\nrelease l 1\nacquire l 2")
	f.Add("snapshot 2 1:0 1\nset x")
	f.Fuzz(func(t *testing.T, text string) {
		s := newStore()
		for command := range strings.SplitSeq(text, "\n") {
			if s.load(command) != nil {
				break
			}
		}
		s.unread = 0
		copied := newStore()
		for command := range s.snapshot() {
			if err := copied.load(command); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff(s, copied, cmp.AllowUnexported(store{}, branch{})); diff != "" {
			t.Fatal(diff)
		}
	})
}
