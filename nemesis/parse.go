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
		if f == &partition {
			list = append(list,
				Entry{roomsPrefix + "n1,n2,n3/n4,n5", "groups of nodes see each other no more, such as data centres"},
				Entry{partition.name + ":leader:" + string(cluster.Reset), "reset or silent, instead of either at random; after any partition"})
		}
	}
	return append(list,
		Entry{"all", "partition, kill and pause"},
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
				s.add(pick{word: f.name, family: f, shapes: f.shapes})
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
)

// parseWord reads FAMILY[:SHAPE][:MODE] or rooms:NODE,…/NODE,…[:MODE].
func parseWord(word string) (pick, error) {
	p := pick{word: word}
	rest := word
	for _, mode := range []cluster.Cut{cluster.Silent, cluster.Reset} {
		if without, found := strings.CutSuffix(rest, ":"+string(mode)); found {
			rest, p.mode = without, mode
			break
		}
	}
	if strings.HasPrefix(rest, roomsPrefix) {
		separate, err := parseRooms(rest)
		p.family, p.shapes = &partition, []shape{separate}
		return p, err
	}
	name, shapeName, chosen := strings.Cut(rest, ":")
	for _, f := range families {
		if f.name == name {
			p.family, p.shapes = f, f.shapes
		}
	}
	if p.family == nil {
		return p, fmt.Errorf("there is no fault %q; possible are %s, joined by commas", word, vocabulary())
	}
	if p.mode != cluster.Whole && p.family != &partition {
		return p, fmt.Errorf("%q: only partitions are silent or reset", word)
	}
	if chosen {
		p.shapes = slices.DeleteFunc(slices.Clone(p.family.shapes), func(s shape) bool { return s.name != shapeName })
		if len(p.shapes) == 0 {
			return p, fmt.Errorf("%q: there is no such %s; possible are %s", word, p.family.name, names(p.family.shapes))
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

func names(shapes []shape) string {
	var names []string
	for _, s := range shapes {
		names = append(names, s.name)
	}
	return strings.Join(names, ", ")
}
