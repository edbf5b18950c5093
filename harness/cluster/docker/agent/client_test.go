package agent

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

var hello = Request{Hello: &HelloRequest{}}

// peer returns a client and the raw other end of its connection.
func rawPeer(t *testing.T) (*Client, net.Conn) {
	t.Helper()
	here, there := net.Pipe()
	client := NewClient(here)
	t.Cleanup(func() { client.Close(); there.Close() })
	return client, there
}

func TestClientMatchesResponses(t *testing.T) {
	client, there := rawPeer(t)
	const calls = 10
	go func() { // answers in reverse order, and some twice or unasked
		lines := bufio.NewScanner(there)
		var ids []uint64
		for len(ids) < calls && lines.Scan() {
			var request Request
			if json.Unmarshal(lines.Bytes(), &request) == nil {
				ids = append(ids, request.ID)
			}
		}
		for i := range ids {
			id := ids[len(ids)-1-i]
			fmt.Fprintf(there, `{"id":%d,"took_ns":%d}`+"\n"+`{"id":%d,"took_ns":1}`+"\n"+`{"id":99}`+"\n", id, id*10, id)
		}
	}()
	var all sync.WaitGroup
	for range calls {
		all.Go(func() {
			response, err := client.Do(t.Context(), hello)
			if err != nil || response.Took != time.Duration(response.ID*10) {
				t.Errorf("got %+v, %v", response, err)
			}
		})
	}
	all.Wait()
}

func TestClientFailsPendingCalls(t *testing.T) {
	for _, test := range []struct {
		name string
		end  func(*Client, net.Conn)
		want string
	}{
		{"the agent ends", func(_ *Client, there net.Conn) { there.Close() }, "the connection has ended: EOF"},
		{"the client is closed", func(client *Client, _ net.Conn) { client.Close() }, "the connection was closed"},
		{"no agent answers", func(_ *Client, there net.Conn) { there.Write([]byte("sh: not found\n")) }, `no agent: "sh: not found`},
	} {
		t.Run(test.name, func(t *testing.T) {
			client, there := rawPeer(t)
			var all sync.WaitGroup
			for range 3 {
				all.Go(func() {
					if _, err := client.Do(t.Context(), hello); err == nil || !strings.Contains(err.Error(), test.want) {
						t.Errorf("got %v, want %q", err, test.want)
					}
				})
			}
			lines := bufio.NewReader(there)
			for range 3 {
				if _, err := lines.ReadString('\n'); err != nil {
					t.Fatal(err)
				}
			}
			test.end(client, there)
			all.Wait()
			if _, err := client.Do(t.Context(), hello); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("a later call: got %v, want %q", err, test.want)
			}
		})
	}
}

// Neither an agent that does not read, nor one that does not answer, holds up
// a caller whose context ends.
func TestClientObeysContext(t *testing.T) {
	client, there := rawPeer(t)
	for range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		if _, err := client.Do(ctx, hello); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want %v", err, context.DeadlineExceeded)
		}
		cancel()
	}
	go func() {
		lines := bufio.NewScanner(there)
		for lines.Scan() {
			var request Request
			json.Unmarshal(lines.Bytes(), &request)
			fmt.Fprintf(there, `{"id":%d}`+"\n", request.ID)
		}
	}()
	if _, err := client.Do(t.Context(), hello); err != nil {
		t.Errorf("once the agent reads again: %v", err)
	}
}
