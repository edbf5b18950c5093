// Command server is one node of a small store of lists. The primary takes updates,
// writes each to its log, syncs it, and sends it to the backups, which keep a copy
// in memory. All speak JSON over TCP: "append" and "get", "compact" replaces the
// primary's log by what it amounts to, and "follow" is what a backup asks for.
package main

import (
	"encoding/json"
	"flag"
	"log"
	"maps"
	"net"
	"os"
	"slices"
	"sync"
	"time"
)

// A message is a request, an answer, or a line of the log.
type message struct {
	Do, Key, Value string              `json:",omitempty"`
	Values         []string            `json:",omitempty"`
	Lists          map[string][]string `json:",omitempty"`
	Error          string              `json:",omitempty"`
}

type store struct {
	path  string // of the log; empty for a backup
	hasty bool   // the planted bug

	mu      sync.Mutex
	log     *os.File
	lists   map[string][]string // nil until a backup has heard from its primary
	updates []message           // since the node began
	more    *sync.Cond          // there is another update
}

func main() {
	listen := flag.String("listen", "127.0.0.1:7000", "the `address` to serve")
	path := flag.String("log", "", "the primary's log `file`")
	primary := flag.String("primary", "", "the primary's `address`, for a backup")
	hasty := flag.Bool("hasty", false, "a bug: updates go on while the log is compacted")
	flag.Parse()
	s := &store{path: *path, hasty: *hasty}
	s.more = sync.NewCond(&s.mu)
	if s.path != "" {
		s.load()
	} else {
		go s.follow(*primary)
	}
	listener, err := net.Listen("tcp", *listen)
	must(err)
	for {
		conn, err := listener.Accept()
		must(err)
		go s.serve(conn)
	}
}

// must ends a node whose log may not be what it believes.
func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// load reads the log up to its end, or to a line that a kill cut off.
func (s *store) load() {
	var err error
	s.log, err = os.OpenFile(s.path, os.O_RDWR|os.O_CREATE, 0o644)
	must(err)
	s.lists = map[string][]string{}
	lines, whole := json.NewDecoder(s.log), int64(0)
	for m := (message{}); lines.Decode(&m) == nil; m = (message{}) {
		s.apply(m)
		whole = lines.InputOffset()
	}
	must(s.log.Truncate(whole))
	_, err = s.log.Seek(whole, 0)
	must(err)
}

func (s *store) apply(m message) {
	if m.Do == "append" {
		s.lists[m.Key] = append(slices.Clip(s.lists[m.Key]), m.Value)
	} else {
		s.lists = map[string][]string{}
		maps.Copy(s.lists, m.Lists)
	}
}

func (s *store) serve(conn net.Conn) {
	defer conn.Close()
	in, out := json.NewDecoder(conn), json.NewEncoder(conn)
	for m := (message{}); in.Decode(&m) == nil; m = (message{}) {
		if m.Do == "follow" {
			s.send(out)
		}
		if out.Encode(s.answer(m)) != nil {
			return
		}
	}
}

func (s *store) answer(m message) message {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.lists == nil:
		return message{Error: "no copy yet"}
	case m.Do == "get":
		return message{Values: s.lists[m.Key]}
	case s.path == "":
		return message{Error: "not the primary"}
	case m.Do == "compact":
		s.compact()
	default:
		must(json.NewEncoder(s.log).Encode(m))
		must(s.log.Sync())
		s.apply(m)
		s.updates = append(s.updates, m)
		s.more.Broadcast()
	}
	return message{}
}

// compact replaces the log by one line. With the bug, what is updated meanwhile is
// in the old log, and gone at the next start.
func (s *store) compact() {
	all := message{Lists: maps.Clone(s.lists)}
	if s.hasty {
		s.mu.Unlock()
		defer s.mu.Lock()
	}
	file, err := os.Create(s.path + ".new")
	must(err)
	must(json.NewEncoder(file).Encode(all))
	must(file.Sync())
	time.Sleep(20 * time.Millisecond) // as for a log of some size
	must(os.Rename(file.Name(), s.path))
	s.log = file
}

// send sends all lists, and then each update, until the backup is gone.
func (s *store) send(out *json.Encoder) {
	s.mu.Lock()
	m, next := message{Lists: maps.Clone(s.lists)}, len(s.updates)
	s.mu.Unlock()
	for ; out.Encode(m) == nil; next++ {
		s.mu.Lock()
		for next == len(s.updates) {
			s.more.Wait()
		}
		m = s.updates[next]
		s.mu.Unlock()
	}
}

// follow applies what the primary sends, for ever.
func (s *store) follow(primary string) {
	for ; ; time.Sleep(50 * time.Millisecond) {
		conn, err := net.Dial("tcp", primary)
		if err != nil {
			continue
		}
		json.NewEncoder(conn).Encode(message{Do: "follow"})
		in := json.NewDecoder(conn)
		for m := (message{}); in.Decode(&m) == nil; m = (message{}) {
			s.mu.Lock()
			s.apply(m)
			s.mu.Unlock()
		}
		conn.Close()
	}
}
