// Command rashomon stands in for the real one in tests of package docker: the
// same roles, and a node that the tests can ask about itself.
package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rashomon-io/rashomon/harness/cluster/docker"
	"github.com/rashomon-io/rashomon/targets"
)

// began is as early as a reading of the clock can be, about.
var began = time.Now()

func main() {
	docker.Main()
	if len(os.Args) > 2 && os.Args[1] == "echo" {
		serve(os.Args[2], os.Args[3], os.Args[4])
	}
	targets.Main()
	fmt.Fprintln(os.Stderr, "no such role:", os.Args[1:])
	os.Exit(1)
}

// serve is a node: it answers lines.
func serve(name, listen, peers string) {
	listener, err := net.Listen("tcp4", listen)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(name, "serves")
	addresses := map[string]string{}
	for peer := range strings.FieldsSeq(peers) {
		to, address, _ := strings.Cut(peer, "=")
		addresses[to] = address
	}
	for {
		conn, err := listener.Accept()
		if err != nil {
			os.Exit(1)
		}
		go func() {
			defer conn.Close()
			for lines := bufio.NewScanner(conn); lines.Scan(); {
				fmt.Fprintln(conn, answer(name, addresses, strings.Fields(lines.Text())))
			}
		}()
	}
}

func answer(name string, peers map[string]string, words []string) string {
	switch words[0] {
	case "ping":
		return "pong from " + name
	case "ask": // a peer, over the link
		conn, err := net.DialTimeout("tcp4", peers[words[1]], time.Second)
		if err != nil {
			return err.Error()
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(time.Second))
		fmt.Fprintln(conn, "ping")
		line, err := bufio.NewReader(conn).ReadString('\n')
		if err != nil {
			return err.Error()
		}
		return strings.TrimSpace(line)
	case "put": // a value, in the data directory
		return fmt.Sprint(os.WriteFile("/data/value", []byte(words[1]), 0o666))
	case "cat":
		text, err := os.ReadFile(words[1])
		if err != nil {
			return err.Error()
		}
		return strings.TrimSpace(string(text))
	case "host":
		name, _ := os.Hostname()
		addresses, err := net.LookupHost(words[1])
		if err != nil {
			return err.Error()
		}
		return fmt.Sprintf("%s %v %d", name, addresses, os.Getpid())
	case "time":
		return fmt.Sprint(time.Now().UnixMilli(), " ", began.UnixMilli())
	case "env":
		return os.Getenv(words[1])
	case "child": // that lives longer than its parent
		child := exec.Command("/proc/self/exe", "echo", name, "127.0.0.1:9999", "")
		return fmt.Sprint(child.Start())
	case "processes": // of the PID namespace, by their first argument
		var roles []string
		lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
		for _, path := range lines {
			line, _ := os.ReadFile(path)
			role := "zombie"
			if words := strings.Split(string(line), "\x00"); len(words) > 1 {
				role = words[1]
			}
			roles = append(roles, role)
		}
		slices.Sort(roles)
		slices.Reverse(roles)
		return strings.Join(roles, " ")
	case "devour": // 256 MB of memory
		return fmt.Sprint(len(slices.Repeat([]byte(name), 128<<20)))
	case "exit":
		status, _ := strconv.Atoi(words[1])
		fmt.Fprintln(os.Stderr, "out of luck")
		os.Exit(status)
	}
	return "what?"
}
