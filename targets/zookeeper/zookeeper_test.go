package zookeeper

import (
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
	"github.com/google/go-cmp/cmp"

	"github.com/rashomon-io/rashomon/harness"
	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/harness/cluster/docker"
	"github.com/rashomon-io/rashomon/harness/cluster/process"
	"github.com/rashomon-io/rashomon/targets/internal/nodetest"
	"github.com/rashomon-io/rashomon/workloads"
)

func TestMain(m *testing.M) {
	docker.Main()
	os.Exit(m.Run())
}

func TestParseOptions(t *testing.T) {
	for text, want := range map[string]Options{
		"":                            {},
		"reads=sync,session=2s":       {},
		"reads=plain":                 {PlainReads: true},
		"timeouts=default,session=1s": {DefaultTimes: true, Session: time.Second},
		"image=zookeeper:3.9":         {Image: "zookeeper:3.9"},
	} {
		got, err := ParseOptions(text)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%q: %v %s", text, err, diff)
		}
		again, err := ParseOptions(got.String())
		if diff := cmp.Diff(want, again); diff != "" || err != nil {
			t.Errorf("%q again: %v %s", got, err, diff)
		}
	}
	for text, want := range map[string]string{
		"reads=stale":                    `reads="stale" is not possible: want sync or plain`,
		"image=":                         `image="" is not possible: want an image, such as one that docker pull understands`,
		"session=1ns":                    `session="1ns" is not possible: want 100ms to 1m0s, in whole milliseconds`,
		"session=999ms,timeouts=default": `session="999ms" is not possible with timeouts=default: want 1s to 1m0s`,
		"quorum=no":                      `unknown option "quorum=no" (there are, for example, reads=plain, timeouts=default, session=1s, image=zookeeper:3.9)`,
	} {
		if _, err := ParseOptions(text); err == nil || err.Error() != want {
			t.Errorf("%q: error %v, want %s", text, err, want)
		}
	}
}

func TestOutcome(t *testing.T) {
	for err, definite := range map[error]bool{
		zk.ErrBadVersion:         true,
		zk.ErrNoServer:           true, // it never left
		zk.ErrConnectionClosed:   false,
		zk.ErrSessionExpired:     false,
		zk.ErrClosing:            false,
		context.DeadlineExceeded: false,
		unsure(zk.ErrNoNode):     false,
	} {
		if got := harness.IsDefinite(outcome(err)); got != definite {
			t.Errorf("%v: definite %t, want %t", err, got, definite)
		}
	}
}

func TestSequence(t *testing.T) {
	for name, want := range map[string]struct {
		before   string
		sequence int64
	}{
		"7-0000000012":  {"7", 12},
		"-7-0000000012": {"-7", 12},
		"0000000003":    {"", 3},
		"odd":           {"odd", 0},
	} {
		if before, sequence := cutSequence(name); before != want.before || sequence != want.sequence {
			t.Errorf("%q: %q %d", name, before, sequence)
		}
	}
}

// programs are those of a node that is a process.
var programs = []string{"java", "/usr/share/java/zookeeper.jar"}

// trio runs a test on three servers that are ready, in each world.
func trio(t *testing.T, options Options, test func(*testing.T, *nodetest.Cluster, harness.Target)) {
	t.Parallel()
	nodetest.InWorlds(t, image, programs, func(t *testing.T, world cluster.World) {
		target := Target(options)
		test(t, nodetest.StartIn(t, world, target, 3, cluster.CutFault, cluster.KillFault), target)
	})
}

func TestConforms(t *testing.T) {
	trio(t, Options{}, func(t *testing.T, c *nodetest.Cluster, target harness.Target) {
		c.Conforms(target)
	})
}

type loggerFunc func(format string, args ...any)

func (f loggerFunc) Printf(format string, args ...any) { f(format, args...) }

// A session is granted as it was asked for, whatever the ticks.
func TestSession(t *testing.T) {
	nodetest.Installed(t, programs)
	for wish, options := range map[time.Duration]Options{
		minSession:     {Session: minSession},
		maxSession:     {Session: maxSession},
		DefaultSession: {DefaultTimes: true},
	} {
		t.Run(options.String(), func(t *testing.T) {
			t.Parallel()
			c := nodetest.StartIn(t, process.World(), Target(options), 1)
			granted := make(chan string, 100) // one for each connection
			conn, _, err := zk.Connect([]string{c.Address("n1")}, wish, zk.WithLogger(loggerFunc(func(format string, args ...any) {
				if strings.HasPrefix(format, "authenticated: ") {
					granted <- fmt.Sprintf(format, args...)
				}
			})))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if got, want := <-granted, fmt.Sprintf("timeout=%d", wish.Milliseconds()); !strings.HasSuffix(got, " "+want) {
				t.Errorf("%s, want %s", got, want)
			}
		})
	}
}

// Of compare-and-sets from one value one swaps, and all others see what it wrote.
func TestRace(t *testing.T) {
	trio(t, Options{}, func(t *testing.T, c *nodetest.Cluster, target harness.Target) {
		var clients []*client
		for i := range 9 {
			opened, err := target.Open(t.Context(), c, c.Nodes()[i%3])
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { opened.Close() })
			clients = append(clients, opened.(*client))
		}
		old := int64(1)
		if err := clients[0].Write(t.Context(), "x", old); err != nil {
			t.Fatal(err)
		}
		for round := range int64(10) {
			var all sync.WaitGroup
			swapped, errs := make([]bool, len(clients)), make([]error, len(clients))
			for i, client := range clients {
				all.Go(func() { swapped[i], errs[i] = client.CompareAndSet(t.Context(), "x", old, 100*(round+1)+int64(i)) })
			}
			all.Wait()
			winner := slices.Index(swapped, true)
			old = 100*(round+1) + int64(winner)
			for i, err := range errs {
				var want error
				if i != winner {
					want = &workloads.Mismatch{Value: old, Found: true}
				}
				if !reflect.DeepEqual(want, err) {
					t.Errorf("round %d: %v, want %v", round, err, want)
				}
			}
		}
	})
}

// A follower that is cut off answers plain reads from the past, and no others; a
// server that is killed comes back; a client of a dead server is told so.
func TestMinority(t *testing.T) {
	trio(t, Options{}, func(t *testing.T, c *nodetest.Cluster, target harness.Target) {
		connect := func(options Options, node cluster.Node) *client {
			opened, err := options.open(t.Context(), c, node)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { opened.Close() })
			return opened.(*client)
		}
		leads, err := target.Leader(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		follower := cluster.Node("n1")
		if leads == follower {
			follower = "n2"
		}
		plain, synced := connect(Options{PlainReads: true}, follower), connect(Options{}, follower)
		if err := plain.Write(t.Context(), "x", 1); err != nil {
			t.Fatal(err)
		}
		if value, _, err := synced.Read(t.Context(), "x"); value != 1 || err != nil {
			t.Fatalf("read %d, %v", value, err)
		}
		if value, _, err := plain.Read(t.Context(), "x"); value != 1 || err != nil {
			t.Fatalf("read %d, %v", value, err)
		}
		c.Isolate(follower)
		if err := connect(Options{}, leads).Write(t.Context(), "x", 2); err != nil {
			t.Fatal(err)
		}
		if value, _, err := plain.Read(t.Context(), "x"); value != 1 || err != nil {
			t.Errorf("plain read of %d, %v; want the old 1", value, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		if _, _, err := synced.Read(ctx, "x"); err == nil {
			t.Error("a server that is cut off answered a read after a sync")
		}
		c.Heal()
		if err := c.Kill(t.Context(), leads); err != nil {
			t.Fatal(err)
		}
		c.Eventually(10*time.Second, func(ctx context.Context) error {
			// Its port may be held open by who forwards it; then there is no session.
			if err := connect(Options{}, leads).Write(ctx, "x", 3); !harness.IsDefinite(err) {
				return fmt.Errorf("a write to a dead server: %v, which should be definite", err)
			}
			return nil
		})
		if err := c.Start(t.Context(), leads); err != nil {
			t.Fatal(err)
		}
		c.Eventually(30*time.Second, func(ctx context.Context) error { return ready(ctx, c) })
		c.Eventually(10*time.Second, func(ctx context.Context) error {
			value, _, err := connect(Options{}, leads).Read(ctx, "x")
			if err == nil && value != 2 {
				err = errors.New("want 2")
			}
			return err
		})
	})
}
