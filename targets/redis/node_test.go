package redis

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/rashomon-io/rashomon/harness/cluster"
)

// alone is a node of this machine, without a world.
type alone struct {
	*testing.T
	system *system
	place  cluster.Place
	log    *os.File
	shell  *exec.Cmd
	ended  chan error // with the shell
}

func newAlone(t *testing.T) *alone {
	for _, program := range []string{"redis-server", "redis-cli", "pgrep"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip(err)
		}
	}
	n := &alone{T: t, system: &system{}, place: cluster.Place{
		Node: "n1", Data: t.TempDir(), Ports: map[string]cluster.Port{}, Public: map[cluster.Node]map[string]string{"n1": {}},
	}}
	for _, name := range []string{serverPort, sentinelPort} {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		address := listener.Addr().String()
		n.place.Ports[name] = cluster.Port{Listen: address, Public: address}
		n.place.Public["n1"][name] = address
	}
	var err error
	if n.log, err = os.Create(filepath.Join(t.TempDir(), "log")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		n.kill()
		if t.Failed() {
			t.Log(n.words())
		}
		n.log.Close()
	})
	return n
}

// words are what the node has logged.
func (n *alone) words() string {
	text, _ := os.ReadFile(n.log.Name())
	return string(text)
}

func (n *alone) start() {
	n.Helper()
	program := n.system.program(n.place)
	n.shell = exec.Command(program.Path, program.Args...)
	n.shell.Stderr = n.log
	n.shell.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := n.shell.Start(); err != nil {
		n.Fatal(err)
	}
	n.ended = make(chan error, 1)
	go func() { n.ended <- n.shell.Wait() }()
}

// kill ends all of the node's processes.
func (n *alone) kill() {
	if n.shell == nil {
		return
	}
	syscall.Kill(-n.shell.Process.Pid, syscall.SIGKILL)
	<-n.ended
	n.shell = nil
}

// process returns the number of the node's process that has this name.
func (n *alone) process(name string) (int, error) {
	numbers, err := exec.Command("pgrep", "-x", "-g", fmt.Sprint(n.shell.Process.Pid), name).Output()
	if err != nil {
		return 0, fmt.Errorf("no process %s: %w", name, err)
	}
	var number int
	_, err = fmt.Sscan(string(numbers), &number)
	return number, err
}

func (n *alone) ping(port string) error {
	server := goredis.NewClient(connection(n.place.Ports[port].Listen))
	defer server.Close()
	ctx, cancel := context.WithTimeout(n.Context(), time.Second)
	defer cancel()
	return server.Ping(ctx).Err()
}

func (n *alone) eventually(try func() error) {
	n.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); ; <-tick.C {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			n.Fatal(err)
		}
	}
}

func (n *alone) serves() {
	n.Helper()
	for _, port := range []string{serverPort, sentinelPort} {
		n.eventually(func() error { return n.ping(port) })
	}
}

func TestNodeRunsServerAndSentinel(t *testing.T) {
	t.Parallel()
	n := newAlone(t)
	n.start()
	n.serves()
	n.eventually(func() error { // the tuned periods arrive
		sentinel := goredis.NewClient(connection(n.place.Ports[sentinelPort].Listen))
		defer sentinel.Close()
		periods, err := sentinel.Do(t.Context(), "SENTINEL", "DEBUG").StringSlice()
		if text := strings.Join(periods, " "); err == nil && !strings.Contains(text, "PUBLISH-PERIOD 500") {
			err = fmt.Errorf("periods are %s", text)
		}
		return err
	})

	// What they have learnt survives.
	server := goredis.NewClient(connection(n.place.Ports[serverPort].Listen))
	defer server.Close()
	if err := server.Do(t.Context(), "REPLICAOF", "127.0.0.1", "1").Err(); err != nil {
		t.Fatal(err)
	}
	if err := server.Do(t.Context(), "CONFIG", "REWRITE").Err(); err != nil {
		t.Fatal(err)
	}
	n.kill()
	n.start()
	n.serves()
	if told, err := ask(t.Context(), server, 1); told.isPrimary || told.host != "127.0.0.1" || err != nil {
		t.Errorf("restarted, it is %+v, %v", told, err)
	}

	pid, err := n.process("redis-server")
	if err != nil {
		t.Fatal(err)
	}
	syscall.Kill(pid, syscall.SIGKILL)
	n.eventually(func() error {
		if err := n.ping(serverPort); err == nil {
			return fmt.Errorf("the server was killed, and answers")
		}
		return nil
	})
	if _, err := n.process("redis-sentinel"); err != nil {
		t.Error(err)
	}
	if err := n.ping(sentinelPort); err != nil {
		t.Errorf("the sentinel went with its server: %v", err)
	}
}

func TestNodeEndsWithItsServer(t *testing.T) {
	t.Parallel()
	n := newAlone(t)
	if err := os.WriteFile(filepath.Join(n.place.Data, "server.conf"), []byte("no-such-setting 1\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	n.start()
	select {
	case err := <-n.ended:
		n.ended <- err
		if err == nil || !strings.Contains(n.words(), "no-such-setting") {
			t.Errorf("ended with %v", err)
		}
	case <-time.After(patience):
		t.Error("goes on without a server")
	}
}
