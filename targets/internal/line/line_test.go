package line

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rashomon-io/rashomon/harness"
	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/workloads"
)

var (
	_ workloads.RegisterClient = (*Client)(nil)
	_ workloads.SetClient      = (*Client)(nil)
	_ workloads.QueueClient    = (*CoordinationClient)(nil)
	_ workloads.LockClient     = (*CoordinationClient)(nil)
	_ workloads.CounterClient  = (*Client)(nil)
	_ workloads.BankClient     = (*Client)(nil)
	_ workloads.IDClient       = (*Client)(nil)
)

// listen serves on loopback until the test ends, and returns the address.
func listen(t *testing.T, handle func(context.Context, *Conn)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- Serve(ctx, listener, handle) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return listener.Addr().String()
}

// replying answers every request by one of the replies, in turn; "" is to close
// the connection, "…" to hang until the other end does.
func replying(replies ...string) func(context.Context, *Conn) {
	return func(_ context.Context, conn *Conn) {
		for _, reply := range replies {
			if _, err := conn.Receive(); err != nil || reply == "" {
				return
			}
			if reply == "…" {
				conn.Receive()
				return
			}
			conn.Send(reply)
		}
	}
}

// A fixed is a cluster only in that it has addresses.
type fixed struct {
	cluster.Cluster
	addresses map[cluster.Node]string
}

func (f fixed) PortAddress(cluster.Node, string) string { return "" }
func (f fixed) Address(node cluster.Node) string        { return f.addresses[node] }
func (f fixed) Nodes() (nodes []cluster.Node) {
	for node := range f.addresses {
		nodes = append(nodes, node)
	}
	return nodes
}

func open(t *testing.T, addresses map[cluster.Node]string) *Client {
	t.Helper()
	client, err := Open(t.Context(), fixed{addresses: addresses}, "n1")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client.(*Client)
}

func TestOutcomes(t *testing.T) {
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	n2 := listen(t, replying("ok"))
	for name, test := range map[string]struct {
		address string
		key     string
		want    string
	}{
		"acknowledged":          {listen(t, replying("ok")), "x", "ok"},
		"refused connection":    {gone.Addr().String(), "x", "fail"},
		"refused request":       {listen(t, replying("refused for a reason")), "x", "fail"},
		"redirected":            {listen(t, replying("moved n2")), "x", "ok"},
		"redirected to nowhere": {listen(t, replying("moved n9")), "x", "fail"},
		"redirected in circles": {listen(t, replying("moved n1", "moved n1", "moved n1", "moved n1")), "x", "fail"},
		"failed half-way":       {listen(t, replying("failed disk")), "x", "info"},
		"closed":                {listen(t, replying("")), "x", "info"},
		"hangs":                 {listen(t, replying("…")), "x", "info"},
		"nonsense":              {listen(t, replying("ok ok")), "x", "info"},
		"bad key":               {listen(t, replying("ok")), "x y", "fail"},
	} {
		t.Run(name, func(t *testing.T) {
			client := open(t, map[cluster.Node]string{"n1": test.address, "n2": n2})
			timeout := time.Minute
			if name == "hangs" {
				timeout = 50 * time.Millisecond
			}
			ctx, cancel := context.WithTimeout(t.Context(), timeout)
			defer cancel()
			err := client.Write(ctx, test.key, 1)
			got := "info"
			switch {
			case err == nil:
				got = "ok"
			case harness.IsDefinite(err):
				got = "fail"
			}
			if got != test.want {
				t.Errorf("got %s (%v), want %s", got, err, test.want)
			}
		})
	}
}

func TestCloseEndsCall(t *testing.T) {
	asked := make(chan struct{})
	client := open(t, map[cluster.Node]string{"n1": listen(t, func(_ context.Context, conn *Conn) {
		conn.Receive()
		close(asked)
		conn.Receive()
	})})
	done := make(chan error)
	go func() {
		_, _, err := client.Read(context.Background(), "x")
		done <- err
	}()
	<-asked
	client.Close()
	if err := <-done; err == nil || harness.IsDefinite(err) {
		t.Errorf("a call that was closed: %v", err)
	}
	if err := client.Write(t.Context(), "x", 1); !harness.IsDefinite(err) {
		t.Errorf("a call after Close: %v, which should be definite", err)
	}
}

func TestCancelEndsCall(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	client := open(t, map[cluster.Node]string{"n1": listen(t, func(_ context.Context, conn *Conn) {
		conn.Receive()
		cancel()
		conn.Receive()
	})})
	if err := client.Write(ctx, "x", 1); err == nil || harness.IsDefinite(err) {
		t.Errorf("a call that was cancelled: %v", err)
	}
}

// A memory is a Store.
type memory struct {
	registers map[string]int64
	elements  []int64
}

func (m *memory) Get(key string) (int64, bool) {
	value, found := m.registers[key]
	return value, found
}

func (m *memory) Set(key string, value int64) error {
	if value < 0 {
		return errors.New("disk\nfull")
	}
	m.registers[key] = value
	return nil
}

func (m *memory) SetBoth(key1 string, value1 int64, key2 string, value2 int64) error {
	return errors.Join(m.Set(key1, value1), m.Set(key2, value2))
}

func (m *memory) CompareAndSet(key string, old, new int64) (*workloads.Mismatch, error) {
	if value, found := m.Get(key); !found || value != old {
		return &workloads.Mismatch{Value: value, Found: found}, nil
	}
	return nil, m.Set(key, new)
}

func (m *memory) Add(element int64) error {
	m.elements = append(m.elements, element)
	return nil
}

func (m *memory) Elements() []int64 { return m.elements }

func TestAnswer(t *testing.T) {
	store := &memory{registers: map[string]int64{}}
	for _, test := range []struct{ request, want string }{
		{"get x", "none"},
		{"cas x 1 2", "saw none"},
		{"set x 1", "ok"},
		{"get x", "value 1"},
		{"cas x 1 2", "ok"},
		{"cas x 1 2", "saw 2"},
		{"set x -1", "failed disk full"},
		{"cas x 2 -2", "failed disk full"},
		{"elements", "elements"},
		{"add 5", "ok"},
		{"add -6", "ok"},
		{"elements", "elements 5 -6"},
		{"get", "refused get takes 1 words"},
		{"set x", "refused set takes 2 words"},
		{"set x 1e3", `refused strconv.ParseInt: parsing "1e3": invalid syntax`},
		{"add 9223372036854775808", `refused strconv.ParseInt: parsing "9223372036854775808": value out of range`},
		{"get \x01", `refused bad key "\x01"`},
		{"value", "value 0"},
		{"increment 5", "ok"},
		{"increment -2", "ok"},
		{"value", "value 3"},
		{"generate", "id 1"},
		{"generate", "id 2"},
		{"transfer 0 2 30", "ok"},
		{"transfer 0 1 71", "insufficient"},
		{"balances 3", "balances 70 100 130"},
		{"transfer 1 1 5", "refused want two accounts below 1000 and an amount that is not negative"},
		{"transfer 0 1 -5", "refused want two accounts below 1000 and an amount that is not negative"},
		{"transfer 0 1000 5", "refused want two accounts below 1000 and an amount that is not negative"},
		{"balances 1001", "refused want at most 1000 accounts"},
		{"increment", "refused increment takes 1 words"},
		{"increment x", `refused strconv.ParseInt: parsing "x": invalid syntax`},
		{"drop table", `refused unknown verb "drop"`},
	} {
		if diff := cmp.Diff(test.want, Answer(store, strings.Fields(test.request))); diff != "" {
			t.Errorf("%s: %s", test.request, diff)
		}
	}
}

// An end is a connection that brings these bytes and then ends.
type end struct {
	net.Conn
	io.Reader
}

func (e end) Read(p []byte) (int, error) { return e.Reader.Read(p) }

func TestReceive(t *testing.T) {
	long := strings.Repeat("x", MaxBytes)
	for name, test := range map[string]struct {
		text string
		want []string
		err  error
	}{
		"words":     {"a  b c\r\nd\n", []string{"a", "b", "c"}, nil},
		"empty":     {"\n \n a\n", []string{"a"}, nil},
		"long":      {long[1:] + "\n", []string{long[1:]}, nil},
		"too long":  {long + "\n", nil, ErrTooLong},
		"endless":   {long + long, nil, ErrTooLong},
		"torn":      {"set x 1", nil, io.ErrUnexpectedEOF},
		"end":       {"", nil, io.EOF},
		"blank end": {"\n", nil, io.EOF},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := New(end{Reader: strings.NewReader(test.text)}).Receive()
			if !cmp.Equal(got, test.want) || !errors.Is(err, test.err) {
				t.Errorf("got %.50q, %v; want %.50q, %v", got, err, test.want, test.err)
			}
		})
	}
}

// Whatever arrives, a reply is one line, and a refusal changes nothing.
func FuzzAnswer(f *testing.F) {
	for _, seed := range []string{"get x\n", "set x 1\ncas x 1 2\n", "add 3\nelements\n", "increment 3\nvalue\ntransfer 0 1 5\nbalances 2\ngenerate\n", "cas x 1", "\x00 \xff\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		store := &memory{registers: map[string]int64{}}
		conn := New(end{Reader: bytes.NewReader(text)})
		for {
			request, err := conn.Receive()
			if err != nil {
				break
			}
			size := len(store.registers) + len(store.elements)
			reply := Answer(store, request)
			if reply == "" || strings.ContainsAny(reply, "\n\r") {
				t.Fatalf("%q: reply %q is not one line", request, reply)
			}
			if strings.HasPrefix(reply, "refused") && len(store.registers)+len(store.elements) != size {
				t.Fatalf("%q: refused, and carried out", request)
			}
		}
	})
}
