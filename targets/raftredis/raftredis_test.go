package raftredis

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"
	hraft "github.com/hashicorp/raft"
	goredis "github.com/redis/go-redis/v9"
	"pgregory.net/rapid"

	"github.com/rashomon-io/rashomon/harness"
	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/targets/internal/nodetest"
	"github.com/rashomon-io/rashomon/targets/redis"
	"github.com/rashomon-io/rashomon/workloads"
)

func TestMain(m *testing.M) { nodetest.Main(m, Node) }

// patience bounds how long a test waits for what takes less than a second, on a
// machine that may be very busy.
const patience = 30 * time.Second

func TestParseOptions(t *testing.T) {
	for text, want := range map[string]Options{"": {}, "reads=linearizable": {}, "reads=local": {LocalReads: true}} {
		got, err := ParseOptions(text)
		again, errAgain := ParseOptions(got.String())
		if err := errors.Join(err, errAgain); got != want || again != want || err != nil {
			t.Errorf("%q: %+v, then %+v, %v", text, got, again, err)
		}
		program := Target(got).Program(cluster.Place{Node: "n1", Listen: "a:1", Data: "d", Peers: map[cluster.Node]string{"n1": "a:1"}})
		if diff := cmp.Diff([]string{"node", name, got.String()}, program.Args[:3]); diff != "" {
			t.Error(diff)
		}
	}
	const want = `reads="any" is not possible: want linearizable or local`
	if _, err := ParseOptions("reads=any"); err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

// redisServer starts Redis' own, until the test ends.
func redisServer(t *testing.T) *goredis.Client {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		t.Skip(err)
	}
	socket := filepath.Join(t.TempDir(), "s")
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	server := exec.CommandContext(ctx, path, "--port", "0", "--unixsocket", socket, "--save", "", "--dir", t.TempDir())
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stop()
		server.Wait()
	})
	client := goredis.NewClient(&goredis.Options{Network: "unix", Addr: socket, Protocol: 2, DisableIdentity: true, DialerRetries: 100, DialerRetryTimeout: 100 * time.Millisecond})
	t.Cleanup(func() { client.Close() })
	if err := client.Ping(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	return client
}

// alone serves a machine without raft, until the test ends.
func alone(t *testing.T) *goredis.Client {
	t.Helper()
	m := open(t, vfs.NewMem())
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		requests := requests{from: conn}
		for index := uint64(1); ; index++ {
			request, err := requests.next()
			if err != nil {
				return
			}
			conn.Write(m.Apply(&hraft.Log{Index: index, Data: entry(time.Now(), request)}).([]byte))
		}
	}()
	client := redis.Connect(listener.Addr().String())
	t.Cleanup(func() {
		client.Close()
		listener.Close()
		<-served
	})
	return client
}

// The machine answers what Redis answers, whatever a client sends that is of the
// commands and forms that it knows.
func TestAsRedis(t *testing.T) {
	real, ours := redisServer(t), alone(t)
	ctx, round := t.Context(), 0
	names := map[string]string{"compareAndSet": redis.CompareAndSet, "deleteIfMine": redis.DeleteIfMine}
	// What chance finds seldom: keys that become empty, or something else.
	for _, request := range []string{
		"SADD a 1", "SADD a 2", "SET a x", "EVAL deleteIfMine 1 a x", "SMEMBERS a", "SADD a 3", "SMEMBERS a",
		"RPUSH b 1", "RPUSH b 2", "SET b x", "EVAL deleteIfMine 1 b x", "RPUSH b 3", "LPOP b", "LPOP b", "SADD b 1", "SMEMBERS b",
		"SET c 1 PX 100000", "EVAL compareAndSet 1 c 1 2", "GET c", "SET c 1 NX", "INCRBY c 5", "set c 1 nx px 100000", "get c",
		"SET d 9223372036854775807", "INCRBY d 1", "INCRBY d -9223372036854775807", "INCRBY d -1", "INCRBY d -9223372036854775808", "GET d",
	} {
		words := strings.Split(request, " ")
		for i, word := range words {
			if script, ok := names[word]; ok {
				words[i] = script
			}
		}
		compare(ctx, t, real, ours, words)
	}
	rapid.Check(t, func(t *rapid.T) {
		round++
		for _, request := range rapid.SliceOfN(generateRequest(fmt.Sprint(round, "-")), 1, 40).Draw(t, "requests") {
			compare(ctx, t, real, ours, request)
		}
	})
}

func compare(ctx context.Context, t fatal, real, ours *goredis.Client, request []string) {
	t.Helper()
	words := make([]any, len(request))
	for i, word := range request {
		words[i] = word
	}
	if diff := cmp.Diff(reply(real.Do(ctx, words...)), reply(ours.Do(ctx, words...))); diff != "" {
		t.Fatal(fmt.Sprintf("%q: %s", request, diff))
	}
}

// reply is what a server answered, as text. Sets have no order, and Redis tells of
// an error in a script where it was.
func reply(command *goredis.Cmd) string {
	value, err := command.Result()
	if err != nil {
		text, _, _ := strings.Cut(err.Error(), " script: ")
		return text
	}
	if members, ok := value.([]any); ok {
		slices.SortFunc(members, func(a, b any) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	}
	return fmt.Sprintf("%T %q", value, value)
}

// A trio is three nodes, with a client at each.
type trio struct {
	*nodetest.Cluster
	*testing.T
	target harness.Target
}

func start(t *testing.T, options Options) trio {
	t.Parallel()
	target := Target(options)
	return trio{nodetest.Start(t, target, 3), t, target}
}

// A client is those of all workloads.
type client interface {
	workloads.RegisterClient
	workloads.SetClient
	workloads.LockClient
}

func (c trio) client(node cluster.Node) client { return c.clientOf(servers(c), node) }

func (c trio) clientOf(servers redis.Servers, node cluster.Node) client {
	c.Helper()
	opened, err := servers.Open(c.Context(), c, node)
	c.must(err)
	c.Cleanup(func() { opened.Close() })
	return opened.(client)
}

func (c trio) must(err error) {
	c.Helper()
	if err != nil {
		c.Fatal(err)
	}
}

func (c trio) readyAgain() {
	c.Helper()
	c.Eventually(patience, func(ctx context.Context) error { return c.target.Ready(ctx, c) })
}

// leader waits until one leads, and returns it and the two that follow.
func (c trio) leader() (leader cluster.Node, followers []cluster.Node) {
	c.Helper()
	c.Eventually(patience, func(ctx context.Context) (err error) {
		leader, err = c.target.Leader(ctx, c)
		return err
	})
	return leader, slices.DeleteFunc(slices.Clone(c.Nodes()), func(node cluster.Node) bool { return node == leader })
}

func TestConforms(t *testing.T) {
	for _, options := range []Options{{}, {LocalReads: true}} {
		t.Run(options.String(), func(t *testing.T) {
			c := start(t, options)
			c.Conforms(c.target)
		})
	}
}

// What is not understood is refused, and does no harm.
func TestRefused(t *testing.T) {
	c := start(t, Options{})
	for _, test := range []struct {
		follower      bool // asked instead of the leader
		request, want string
	}{
		{false, "PING\n", "+PONG\r\n"},
		{false, "HELLO 3\n", "-ERR unknown command 'HELLO'\r\n"},
		{false, "GET\n", "-ERR wrong number of arguments for 'get' command\r\n"},
		{false, "EVAL 'return 1' 1 k 1\n", "-" + string(errNoScript) + "\r\n"},
		{false, "*1\r\n$9223372036854775807\r\n", "-ERR Protocol error: invalid bulk length\r\n"},
		{false, "*1\r\n$99999999\r\n" + strings.Repeat("x", maxRequest), "-ERR Protocol error: request longer than 1048576 bytes\r\n"},
		{false, "\x00\xff\xff", ""}, // to raft
		{false, "SET k 1\r", ""},    // torn
		{true, "GET k\n", "-READONLY this node does not lead\r\n"},
		{true, "INCRBY other 1\n", "-READONLY this node does not lead\r\n"},
		{false, "GET k\n", "$-1\r\n"},
		{false, "set k 1 px 100000\nget k\n", "+OK\r\n$1\r\n1\r\n"}, // reads what may expire
	} {
		c.Eventually(patience, func(ctx context.Context) error { // on a busy machine leaders change
			node, followers := c.leader()
			if test.follower {
				node = followers[0]
			}
			reply, err := send(c.Address(node), test.request)
			if err == nil && reply != test.want {
				err = fmt.Errorf("%.40q: %q, want %q", test.request, reply, test.want)
			}
			return err
		})
	}
}

// send returns all that a server answers to a text, after which nothing comes.
func send(address, text string) (string, error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	io.WriteString(conn, text)
	conn.(*net.TCPConn).CloseWrite()
	conn.SetReadDeadline(time.Now().Add(patience))
	reply, err := io.ReadAll(conn)
	return string(reply), err
}

// Everything acknowledged survives the death of the leader, and of all; and a node
// that was away for longer than logs are kept gets a snapshot.
func TestKilled(t *testing.T) {
	c := start(t, Options{})
	ctx := t.Context()
	first, others := c.leader()
	c.must(c.Kill(ctx, first))
	if err := c.client(first).Write(ctx, "k", 1); !harness.IsDefinite(err) {
		t.Errorf("write to a dead node: %v, which should be definite", err)
	}
	second := c.client(others[0])
	c.Eventually(patience, func(ctx context.Context) error { return second.Write(ctx, "k", 2) })
	const many = 300
	for element := range int64(many) {
		c.Eventually(patience, func(ctx context.Context) error { return second.Add(ctx, element) })
	}
	allThere := func() {
		t.Helper()
		for _, node := range c.Nodes() {
			client := c.client(node)
			c.Eventually(patience, func(ctx context.Context) error {
				elements, err := client.Elements(ctx)
				if err == nil && len(elements) != many {
					t.Errorf("through %s there are %d elements of %d", node, len(elements), many)
				}
				return err
			})
		}
	}
	c.must(c.Start(ctx, first))
	c.readyAgain()
	c.must(c.Kill(ctx, others[0]))
	back := c.client(first)
	c.Eventually(patience, func(ctx context.Context) error { return back.Write(ctx, "k", 3) })
	c.must(c.Start(ctx, others[0]))
	c.readyAgain()
	allThere()

	for _, node := range c.Nodes() {
		c.must(c.Kill(ctx, node))
	}
	for _, node := range c.Nodes() {
		c.must(c.Start(ctx, node))
	}
	c.readyAgain()
	allThere()
}

// A majority goes on without the leader that is cut off, whose clients learn
// nothing from it, nor do those of a node that only it could reach.
func TestPartition(t *testing.T) {
	c := start(t, Options{})
	ctx := t.Context()
	old, others := c.leader()
	there, here := c.client(old), c.client(others[0])
	c.must(there.Write(ctx, "k", 1))
	c.Isolate(old)
	c.Eventually(patience, func(ctx context.Context) error { return here.Write(ctx, "k", 2) })
	if value, _, err := there.Read(ctx, "k"); err == nil {
		t.Errorf("read %d from a leader that is cut off", value)
	}
	c.Eventually(patience, func(ctx context.Context) error {
		err := there.Write(ctx, "k", 3)
		if err == nil {
			t.Fatal("written without a majority")
		}
		if !harness.IsDefinite(err) || !strings.Contains(err.Error(), "does not hear from its primary") {
			return err
		}
		return nil
	})
	c.Heal()
	c.Eventually(patience, func(ctx context.Context) error {
		value, _, err := there.Read(ctx, "k")
		if err == nil && value != 2 {
			t.Errorf("read %d, want 2", value)
		}
		return err
	})
}

// A leader that wakes up from a pause, while another leads, must not answer reads
// from what it knew. That it does with local reads shows that the test can tell.
func TestPausedLeader(t *testing.T) {
	for options, rounds := range map[Options]int64{{}: 3, {LocalReads: true}: 50} {
		t.Run(options.String(), func(t *testing.T) {
			c := start(t, options)
			stale := 0
			for round := int64(0); round < rounds && stale == 0; round++ {
				c.readyAgain()
				old, others := c.leader()
				there, here := c.client(old), c.client(others[0])
				c.Eventually(patience, func(ctx context.Context) error { return there.Write(ctx, "k", 2*round) })
				var conns []net.Conn
				for range 50 {
					conn, err := net.Dial("tcp", c.Address(old))
					c.must(err)
					defer conn.Close()
					conns = append(conns, conn)
				}
				c.must(c.Pause(t.Context(), old))
				c.Eventually(patience, func(ctx context.Context) error { return here.Write(ctx, "k", 2*round+1) })
				for _, conn := range conns {
					io.WriteString(conn, "GET k\n")
					conn.(*net.TCPConn).CloseWrite()
				}
				c.must(c.Resume(t.Context(), old))
				for _, conn := range conns {
					conn.SetReadDeadline(time.Now().Add(patience))
					reply, err := io.ReadAll(conn)
					c.must(err)
					if string(reply) == fmt.Sprintf("$%d\r\n%d\r\n", len(fmt.Sprint(2*round)), 2*round) {
						stale++
					}
				}
			}
			if (stale > 0) != options.LocalReads {
				t.Errorf("%d stale reads", stale)
			}
		})
	}
}

func TestLockExpires(t *testing.T) {
	c := start(t, Options{})
	short := servers(c)
	short.Lease = 50 * time.Millisecond
	first, second := c.clientOf(short, "n1"), c.clientOf(short, "n2")
	if _, acquired, err := first.Acquire(t.Context(), "lock"); !acquired || err != nil {
		t.Fatal(acquired, err)
	}
	c.Eventually(patience, func(ctx context.Context) error {
		_, acquired, err := second.Acquire(ctx, "lock")
		if err == nil && !acquired {
			err = errors.New("still held")
		}
		return err
	})
	if released, err := first.Release(t.Context(), "lock"); released || err != nil {
		t.Errorf("release of what another may hold: %v, %v", released, err)
	}
}
