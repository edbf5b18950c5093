package workloads_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rashomon-io/rashomon/checker"
	"github.com/rashomon-io/rashomon/harness"
	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/harness/cluster/process"
	"github.com/rashomon-io/rashomon/harness/history"
	"github.com/rashomon-io/rashomon/nemesis"
	"github.com/rashomon-io/rashomon/workloads"
)

// The test binary is also a node of the store of texts.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "text-node" {
		panic(serveTexts(os.Args[2], os.Args[3], os.Args[4] == "torn"))
	}
	os.Exit(m.Run())
}

// A textRequest is of a Kind, and the answer has its text, too.
type textRequest struct{ Kind, Key, Text string }

// serveTexts is a node of the store: n1 holds everything, the others ask it. If its
// appends are torn, another may come between their read and their write.
func serveTexts(address, primary string, torn bool) error {
	var mu sync.Mutex
	texts := map[string]string{}
	answer := func(r textRequest) (textRequest, error) {
		if primary != "" {
			conn := &textConn{address: primary}
			defer conn.Close()
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			return conn.ask(ctx, r)
		}
		mu.Lock()
		defer mu.Unlock()
		switch r.Kind {
		case "put":
			texts[r.Key] = r.Text
		case "append":
			held := texts[r.Key]
			if torn {
				mu.Unlock()
				time.Sleep(time.Millisecond)
				mu.Lock()
			}
			texts[r.Key] = held + r.Text
		}
		r.Text = texts[r.Key]
		return r, nil
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	for {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer conn.Close()
			from, to := json.NewDecoder(conn), json.NewEncoder(conn)
			for {
				var r textRequest
				if from.Decode(&r) != nil {
					return
				}
				r, err := answer(r)
				if err != nil || to.Encode(r) != nil {
					return
				}
			}
		}()
	}
}

// A textConn is a TextClient.
type textConn struct {
	address string
	conn    net.Conn // nil before the first call
}

func (c *textConn) ask(ctx context.Context, r textRequest) (textRequest, error) {
	if c.conn == nil {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", c.address)
		if err != nil {
			return r, harness.Definite(err)
		}
		c.conn = conn
	}
	deadline, _ := ctx.Deadline()
	err := errors.Join(c.conn.SetDeadline(deadline), json.NewEncoder(c.conn).Encode(r))
	if err != nil {
		return r, err
	}
	return r, json.NewDecoder(c.conn).Decode(&r)
}

func (c *textConn) Put(ctx context.Context, key, text string) error {
	_, err := c.ask(ctx, textRequest{"put", key, text})
	return err
}

func (c *textConn) Append(ctx context.Context, key, text string) error {
	_, err := c.ask(ctx, textRequest{"append", key, text})
	return err
}

func (c *textConn) Get(ctx context.Context, key string) (string, error) {
	answer, err := c.ask(ctx, textRequest{Kind: "get", Key: key})
	return answer.Text, err
}

func (c *textConn) Close() error {
	if c.conn == nil {
		return nil
	}
	return c.conn.Close()
}

func textTrial(t *testing.T, appends string) harness.Trial {
	return harness.Trial{
		Target: harness.Target{
			Name: "texts", Options: appends, World: process.World(),
			Program: func(p cluster.Place) cluster.Program {
				primary := p.Peers["n1"]
				if p.Node == "n1" {
					primary = ""
				}
				return cluster.Program{Path: os.Args[0], Args: []string{"text-node", p.Listen, primary, appends}}
			},
			Ready: func(ctx context.Context, c cluster.Cluster) error {
				conn := &textConn{address: c.Address("n3")}
				defer conn.Close()
				_, err := conn.Get(ctx, "k0")
				return err
			},
			Open: func(_ context.Context, c cluster.Cluster, node cluster.Node) (harness.Client, error) {
				return &textConn{address: c.Address(node)}, nil
			},
		},
		Workload: Texts, Nemesis: nemesis.Partitions("one"), Nodes: 3, Rate: 200, Seed: 1, Dir: t.TempDir(),
		Quiet: time.Second, Duration: 3 * time.Second, Recovery: time.Second,
	}
}

// A store on real processes, behind partitions, is valid in a workload that is its user's
// own, and invalid if its appends are torn. A run directory is judged alike again.
func TestAnOwnWorkload(t *testing.T) {
	for appends, want := range map[string]checker.Verdict{"atomic": checker.Valid, "torn": checker.Invalid} {
		t.Run(appends, func(t *testing.T) {
			trial := textTrial(t, appends)
			run, result, err := harness.Run(t.Context(), trial)
			if err != nil {
				t.Fatal(err)
			}
			if result.Verdict != want || result.Vacuous != "" || (result.AsClaimed == checker.AsClaimed) != (want == checker.Valid) {
				t.Fatalf("want %s: %s", want, harness.Summary(run, result))
			}
			if s := result.Statistics; s.Reads == 0 || s.Writes == 0 {
				t.Errorf("%d reads and %d writes are told from each other", s.Reads, s.Writes)
			}
			if again := Texts.Check(t.Context(), run, checker.Options{}); again.Verdict != want {
				t.Errorf("judged again, it is %s", again.Verdict)
			}
			for _, violation := range result.Violations {
				if len(violation.Witness) == 0 || !strings.Contains(violation.Sentence, `get -> "`) {
					t.Errorf("a violation of %d operations is told as %q", len(violation.Witness), violation.Sentence)
				}
			}
		})
	}
}

func TestAClientWithoutTheMethodsIsRefused(t *testing.T) {
	_, err := Texts.Bind(scripted{})
	if err == nil || err.Error() != "the texts workload needs a client with Append, Get and Put; workloads_test.scripted is none (see workloads_test.TextClient)" {
		t.Error(err)
	}
	own := workloads.Own[*textConn]{Name: "x", Plan: Texts.Generators, Model: checker.Register,
		Invoke: func(context.Context, *textConn, history.Operation) (history.Value, error) {
			return history.Value{}, nil
		}}
	_, err = workloads.New(own).Bind(scripted{})
	if err == nil || err.Error() != "the x workload needs a client that is a *workloads_test.textConn, and not a workloads_test.scripted" {
		t.Error(err)
	}
}

func TestAnOwnWorkloadIsComplete(t *testing.T) {
	defer func() {
		if problem := recover(); problem != `workloads: the workload "half" lacks its Plan` {
			t.Error(problem)
		}
	}()
	workloads.New(workloads.Own[TextClient]{Name: "half"})
}
