package nemesis

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/rashomon-io/rashomon/harness"
	"github.com/rashomon-io/rashomon/harness/cluster"
)

const roomsPrefix = "rooms:"

// An Entry is a word that Parse accepts, and what it means.
type Entry struct{ Word, Meaning string }

// List describes all words that Parse accepts.
func List() []Entry {
	var list []Entry
	for _, f := range families {
		list = append(list, Entry{f.name, f.says + "; in all of these ways, two of three times at the leader:"})
		for _, s := range f.shapes {
			list = append(list, Entry{f.name + ":" + s.name, s.says})
		}
		switch f {
		case &partition:
			list = append(list,
				Entry{roomsPrefix + "n1,n2,n3/n4,n5", "groups of nodes see each other no more, such as data centres"},
				Entry{partition.name + ":leader:" + string(cluster.Reset), "reset or silent, instead of either at random; after any partition"})
		case &kill, &pause:
			list = append(list, Entry{f.name + ":leader@redis-server", "processes of that name alone; after any " + f.name})
		case &clock:
			list = append(list,
				Entry{"clock:jump", "by half a second to ten years, ahead or behind, mostly seconds"},
				Entry{"clock:drift", "1 to 20 % fast or slow"},
				Entry{"clock:strobe", "to and fro, each for 10 to 500 ms"},
				Entry{"clock:mixed", "a jump and a drift"},
				Entry{"clock:leader:jump", "one way, instead of any at random; after any clock"})
		}
	}
	return append(list,
		Entry{"all", "every family; those that the world cannot inject are skipped"},
		Entry{"overlap", "together with others: faults may begin before the previous one is healed"},
		Entry{"none", "no faults"})
}

// Parse returns the schedule that text describes: words of List, joined by
// commas. The interval is a Schedule's.
func Parse(text string, interval time.Duration) (harness.Nemesis, error) {
	if interval < 0 {
		return nil, fmt.Errorf("the interval between faults is %v: it must be positive", interval)
	}
	s := Schedule{Interval: interval}
	words := split(text)
	for _, word := range words {
		switch word {
		case "none":
			if len(words) > 1 {
				return nil, errors.New(`"none" goes with no other word`)
			}
		case "overlap":
			s.Overlap = true
		case "all":
			for _, f := range families {
				s.add(pick{word: f.name, family: f, shapes: f.shapes, modes: f.modes})
			}
		default:
			p, err := parseWord(word)
			if err != nil {
				return nil, err
			}
			s.add(p)
		}
	}
	if s.Overlap && len(s.picks) == 0 {
		return nil, errors.New(`"overlap" needs faults, such as "all,overlap"`)
	}
	return s, nil
}

// split separates the words. Those that look like nodes go on with the rooms
// before them.
func split(text string) []string {
	var words []string
	for word := range strings.SplitSeq(text, ",") {
		word = strings.TrimSpace(word)
		last := len(words) - 1
		if last >= 0 && strings.HasPrefix(words[last], roomsPrefix) && looksLikeNode.MatchString(word) {
			words[last] += "," + word
		} else {
			words = append(words, word)
		}
	}
	return words
}

var (
	looksLikeNode = regexp.MustCompile(`^n[0-9]`)
	isNode        = regexp.MustCompile(`^n[1-9][0-9]{0,3}$`)
	isProcess     = regexp.MustCompile(`^[A-Za-z0-9_.+-]{1,15}$`) // as long as the kernel's names
)

// parseWord reads FAMILY[:SHAPE][:MODE][@PROCESS] or rooms:NODE,…/NODE,…[:MODE].
func parseWord(word string) (pick, error) {
	p := pick{word: word}
	rest, process, single := strings.Cut(word, "@")
	name, rest, chosen := strings.Cut(rest, ":")
	for _, f := range families {
		if f.name == name || f == &partition && name+":" == roomsPrefix {
			p.family, p.shapes, p.modes = f, f.shapes, f.modes
		}
	}
	if p.family == nil {
		return p, fmt.Errorf("there is no fault %q; possible are %s, joined by commas", word, vocabulary())
	}
	if single && (p.family.on != onNodes || !isProcess.MatchString(process)) {
		return p, fmt.Errorf("%q: after @, kill and pause take the name of a process, of at most 15 characters", word)
	}
	p.processes = process
	for _, m := range p.family.modes {
		if m.name == "" {
			continue
		}
		if without, found := strings.CutSuffix(":"+rest, ":"+m.name); found {
			p.modes = []mode{m}
			rest = strings.TrimPrefix(without, ":")
			chosen = without != ""
			break
		}
	}
	if name+":" == roomsPrefix {
		separate, err := parseRooms(roomsPrefix + rest)
		p.shapes = []shape{separate}
		return p, err
	}
	if chosen {
		p.shapes = slices.DeleteFunc(slices.Clone(p.family.shapes), func(s shape) bool { return s.name != rest })
		if len(p.shapes) == 0 {
			return p, fmt.Errorf("%q: there is no such %s; possible are %s", word, p.family.name, names(p.family))
		}
	}
	return p, nil
}

// parseRooms reads rooms:n1,n2/n3,n4,n5.
func parseRooms(text string) (shape, error) {
	var groups [][]cluster.Node
	seen := map[cluster.Node]bool{}
	for room := range strings.SplitSeq(strings.TrimPrefix(text, roomsPrefix), "/") {
		nodes := strings.Split(room, ",")
		for _, node := range nodes {
			if !isNode.MatchString(node) {
				return shape{}, fmt.Errorf("%q: %q is not a node; write rooms as rooms:n1,n2,n3/n4,n5", text, node)
			}
			if seen[node] {
				return shape{}, fmt.Errorf("%q: %s is in two rooms", text, node)
			}
			seen[node] = true
		}
		groups = append(groups, nodes)
	}
	if len(groups) < 2 {
		return shape{}, fmt.Errorf("%q: it takes two rooms; write them as rooms:n1,n2,n3/n4,n5", text)
	}
	if len(seen) > harness.MaxNodes {
		return shape{}, fmt.Errorf("rooms of %d nodes: a cluster has at most %d", len(seen), harness.MaxNodes)
	}
	return rooms(text, groups), nil
}

func vocabulary() string {
	words := []string{"none", "all", "overlap"}
	for _, f := range families {
		words = append(words, f.name, f.name+":SHAPE")
	}
	return strings.Join(append(words, roomsPrefix+"n1,n2/n3,…"), ", ")
}

// names are of all shapes and modes.
func names(f *family) string {
	var names []string
	for _, s := range f.shapes {
		names = append(names, s.name)
	}
	for _, m := range f.modes {
		if m.name != "" {
			names = append(names, m.name)
		}
	}
	return strings.Join(names, ", ")
}
