package command

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/rashomon-io/rashomon/checker"
	"github.com/rashomon-io/rashomon/checker/anomaly"
	"github.com/rashomon-io/rashomon/harness"
	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/harness/history"
	"github.com/rashomon-io/rashomon/nemesis"
	"github.com/rashomon-io/rashomon/workloads"
)

// own is a user's command: of a system whose nodes are this very binary, with an
// option, and with a workload.
var own = Command{
	Name: "mystore-trials",
	Targets: []harness.System{{
		Name: "mystore", About: "every node has values of its own", Options: []string{"nodes=one"},
		Target: ownTarget, Node: ownNode, ComparedIn: []string{"process"},
	}},
	Families: []nemesis.Family{{
		Family: history.Family{Name: "flush"}, Doc: "nodes write everything to disk",
		Inject: func(context.Context, nemesis.Hit) (string, error) { return "flushed", nil },
	}},
	Workloads: func() []harness.Workload {
		return []harness.Workload{ownWorkload{workloads.Register{CompareAndSetPercent: -1}}, notes}
	},
}

// notes are texts, with operations and two checks of their own.
var notes = workloads.New(workloads.Own[ownClient]{
	Name:  "notes",
	Kinds: history.Kinds{"note": {Updates: true}, "look": {Reads: true}},
	Plan: harness.PerWorker(func(w harness.Worker) harness.Generator {
		noted := 0
		return harness.GeneratorFunc(func(turn *harness.Turn) (history.Operation, bool) {
			o := history.Operation{Kind: "look", Key: fmt.Sprint("n", int(turn.Now/noteLife))}
			if w.Rand.IntN(2) == 0 {
				noted++
				o.Kind, o.Input = "note", history.JSON(fmt.Sprintf("%d-%d", w.Index, noted))
			}
			return o, true
		})
	}),
	Final: func(harness.Worker) harness.Generator {
		next := -1
		return harness.GeneratorFunc(func(turn *harness.Turn) (history.Operation, bool) {
			next++
			return history.Operation{Kind: "look", Key: fmt.Sprint("n", next)}, next <= int(turn.Now/noteLife)
		})
	},
	Invoke: func(ctx context.Context, c ownClient, o history.Operation) (history.Value, error) {
		if o.Kind == "note" {
			_, err := c.ask(ctx, o.Key, textOf(o.Input))
			return history.Value{}, err
		}
		text, err := c.ask(ctx, o.Key)
		return history.JSON(text), err
	},
	Model: checker.Compose(
		checker.ModelOf("the last note is seen", porcupine.Model{
			Init: func() any { return "none" },
			Step: func(state, input, output any) (bool, any) {
				call, answer := input.(checker.Call), output.(checker.Answer)
				if call.Kind == "note" {
					return true, textOf(call.Input)
				}
				return answer.Outcome == history.Info || textOf(answer.Output) == state, state
			},
		}),
		checker.ModelFunc("notes are short", func(_ context.Context, run *history.Run) (long []anomaly.Violation, err error) {
			for _, o := range run.History.Operations {
				if o.Outcome == history.OK && len(textOf(o.Output)) > 10 {
					long = append(long, anomaly.Violation{Key: o.Key, Witness: []history.Operation{o}, Sentence: "A note is long."})
				}
			}
			return long, nil
		})),
})

const noteLife = 200 * time.Millisecond

func textOf(v history.Value) (text string) {
	_ = v.Decode(&text)
	return text
}

type ownWorkload struct{ workloads.Register }

func (ownWorkload) Name() string { return "my-registers" }

// ownTarget has clients ask the first node only, or each node its own.
func ownTarget(options string) (harness.Target, error) {
	if options != "" && options != "nodes=one" {
		return harness.Target{}, fmt.Errorf("%q is not nodes=one", options)
	}
	ask := func(c cluster.Cluster, node cluster.Node) ownClient {
		if options != "" {
			node = c.Nodes()[0]
		}
		return ownClient(c.Address(node))
	}
	return harness.Target{
		Name: "mystore", Options: options,
		Program: func(p cluster.Place) cluster.Program {
			return cluster.Program{Args: []string{"node", "mystore", p.Listen}}
		},
		Ready: func(ctx context.Context, c cluster.Cluster) error {
			for _, node := range c.Nodes() {
				if _, _, err := ask(c, node).Read(ctx, "k"); err != nil {
					return err
				}
			}
			return nil
		},
		Open: func(_ context.Context, c cluster.Cluster, node cluster.Node) (harness.Client, error) {
			return ask(c, node), nil
		},
	}, nil
}

// ownNode answers "key" with its value, and "key value" with that value.
func ownNode(args []string) error {
	listener, err := net.Listen("tcp", args[0])
	if err != nil {
		return err
	}
	var values sync.Map
	for {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer conn.Close()
			for lines := bufio.NewScanner(conn); lines.Scan(); {
				words := strings.Fields(lines.Text())
				if len(words) == 2 {
					values.Store(words[0], words[1])
				}
				value, found := values.Load(words[0])
				if !found {
					value = "none"
				}
				fmt.Fprintln(conn, value)
			}
		}()
	}
}

// An ownClient is a node's address.
type ownClient string

func (ownClient) Close() error { return nil }

func (c ownClient) ask(ctx context.Context, words ...any) (string, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", string(c))
	if err != nil {
		return "", harness.Definite(err)
	}
	defer conn.Close()
	if deadline, bounded := ctx.Deadline(); bounded {
		if err := conn.SetDeadline(deadline); err != nil {
			return "", harness.Definite(err)
		}
	}
	if _, err := fmt.Fprintln(conn, words...); err != nil {
		return "", err
	}
	answer, err := bufio.NewReader(conn).ReadString('\n')
	return strings.TrimSpace(answer), err
}

func (c ownClient) Read(ctx context.Context, key string) (int64, bool, error) {
	answer, err := c.ask(ctx, key)
	if err != nil || answer == "none" {
		return 0, false, err
	}
	value, err := strconv.ParseInt(answer, 10, 64)
	return value, true, err
}

func (c ownClient) Write(ctx context.Context, key string, value int64) error {
	_, err := c.ask(ctx, key, value)
	return err
}

func (ownClient) CompareAndSet(context.Context, string, int64, int64) (bool, error) {
	return false, harness.Definite(io.ErrUnexpectedEOF) // there is none
}

// A main.go that is wrong is told so, whatever is asked of it.
func TestCommandsThatAreWrongAreRefused(t *testing.T) {
	target := func(string) (harness.Target, error) { return harness.Target{}, nil }
	for want, command := range map[string]Command{
		`two targets are named "a"`:          {Targets: []harness.System{{Name: "a", Target: target}, {Name: "a", Target: target}}},
		`a target is named "a:b"`:            {Targets: []harness.System{{Name: "a:b", Target: target}}},
		`a target is named ""`:               {Targets: []harness.System{{Target: target}}},
		`the target a has no Target`:         {Targets: []harness.System{{Name: "a"}}},
		`kill`:                               {Families: []nemesis.Family{{Family: history.Family{Name: "kill"}, Inject: own.Families[0].Inject}}},
		`two workloads are named "register"`: {Workloads: func() []harness.Workload { return []harness.Workload{workloads.Register{}} }},
	} {
		var errs bytes.Buffer
		command.Name = "mine"
		code := command.run([]string{"list"}, io.Discard, &errs)
		if told := errs.String(); code != exitCrash || !strings.HasPrefix(told, "mine: ") || !strings.Contains(told, want) {
			t.Errorf("exit code %d, %q; want %q", code, told, want)
		}
	}
}

// What the built-in systems need in containers is what their nodes are run from.
func TestImagesAreThoseOfTheTargets(t *testing.T) {
	names, err := rashomon.images()
	if want := []string{"redis:7", "quay.io/coreos/etcd:v3.5.21", "zookeeper:3.8"}; err != nil || !slices.Equal(names, want) {
		t.Errorf("got %q, %v; want %q", names, err, want)
	}
	if names, err := own.images(); err != nil || names != nil {
		t.Errorf("got %q, %v; want none", names, err)
	}
}
