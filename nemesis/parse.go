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

const (
	roomsPrefix = "rooms:"
	rolePrefix  = "role=" // of a shape
)

// An Entry is a word that Parse accepts, and what it means.
type Entry struct{ Word, Meaning string }

// List describes all words that Parse accepts, with these families. It panics as With
// does.
func List(own ...Family) []Entry {
	all, err := families(own)
	if err != nil {
		panic("nemesis: " + err.Error())
	}
	var list []Entry
	for _, f := range all {
		list = append(list, Entry{f.Name, f.Doc + "; in all of these ways, two of three times at the leader:"})
		grouped := false
		for _, s := range f.Shapes {
			if s.clients && !grouped {
				list = append(list, Entry{f.Name + ":" + cluster.Clients, "not those between nodes but between clients and nodes; in all of these ways:"})
				grouped = true
			}
			list = append(list, Entry{f.Name + ":" + s.Name, s.Doc})
		}
		if f == &partition {
			list = append(list, Entry{roomsPrefix + "n1,n2,n3/n4,n5", "groups of nodes see each other no more, such as data centres"})
		}
		if f.ByProcess {
			list = append(list, Entry{f.Name + ":leader@redis-server", "processes of that name alone; after any " + f.Name})
		}
		list = append(list, f.listModes()...)
	}
	return append(list,
		Entry{"kill:role=router", "any node of that role, where a system has roles; after any kind of fault"},
		Entry{"all", "every family; those that the world cannot inject are skipped"},
		Entry{"overlap", "together with others: faults may begin before the previous one is healed"},
		Entry{"none", "no faults"})
}

// listModes describes the ways, and that each may be chosen.
func (f *Family) listModes() (list []Entry) {
	if len(f.Modes) < 2 {
		return nil
	}
	var names []string
	for _, m := range f.Modes {
		if names = append(names, m.Name); m.Doc != "" {
			list = append(list, Entry{f.Name + ":" + m.Name, m.Doc})
		}
	}
	last := len(names) - 1
	return append(list, Entry{
		f.Name + ":" + f.Shapes[0].Name + ":" + names[last],
		strings.Join(names[:last], ", ") + " or " + names[last] + ", instead of any at random; after any " + f.Name,
	})
}

// Parse returns the schedule that text describes: words of List, joined by
// commas, where the user's own families have theirs. The interval is a Schedule's.
func Parse(text string, interval time.Duration, own ...Family) (harness.Nemesis, error) {
	if interval < 0 {
		return nil, fmt.Errorf("the interval between faults is %v: it must be positive", interval)
	}
	known, err := families(own)
	if err != nil {
		return nil, err
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
			for _, f := range known {
				s.add(everything(f))
			}
		default:
			p, err := parseWord(word, known)
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

// everything picks from all modes of a family, and all shapes that need not be named.
func everything(f *Family) pick {
	p := pick{injection: injection{family: f}, word: f.Name, modes: f.Modes}
	p.take(func(s Shape) bool { return !s.clients })
	if len(p.shapes) == 0 {
		p.take(func(Shape) bool { return true })
	}
	return p
}

// take picks from the shapes of the family that are wanted.
func (p *pick) take(wanted func(Shape) bool) {
	p.shapes = slices.DeleteFunc(slices.Clone(p.family.Shapes), func(s Shape) bool { return !wanted(s) })
	p.clients = slices.ContainsFunc(p.shapes, func(s Shape) bool { return s.clients })
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
	isRole        = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)
	isProcess     = regexp.MustCompile(`^[A-Za-z0-9_.+-]{1,15}$`) // as long as the kernel's names
)

// parseWord reads FAMILY[:SHAPE][:MODE][@PROCESS] or rooms:NODE,…/NODE,…[:MODE].
func parseWord(word string, known []*Family) (pick, error) {
	rest, process, single := strings.Cut(word, "@")
	name, rest, chosen := strings.Cut(rest, ":")
	i := slices.IndexFunc(known, func(f *Family) bool {
		return f.Name == name || f == &partition && name+":" == roomsPrefix
	})
	if i < 0 {
		return pick{}, fmt.Errorf("there is no fault %q; possible are %s, joined by commas", word, vocabulary(known))
	}
	p := everything(known[i])
	p.word = word
	if single && (!p.family.ByProcess || !isProcess.MatchString(process)) {
		return p, fmt.Errorf("%q: after @, %s take the name of a process, of at most 15 characters", word, byProcess(known))
	}
	p.processes = process
	for _, m := range p.family.Modes {
		if m.Name == "" {
			continue
		}
		if without, found := strings.CutSuffix(":"+rest, ":"+m.Name); found {
			p.modes = []Mode{m}
			rest = strings.TrimPrefix(without, ":")
			chosen = without != ""
			break
		}
	}
	if name+":" == roomsPrefix {
		separate, err := parseRooms(roomsPrefix + rest)
		p.shapes = []Shape{separate}
		return p, err
	}
	if chosen {
		role, ofRole := strings.CutPrefix(rest, rolePrefix)
		switch {
		case ofRole && isRole.MatchString(role):
			p.take(func(s Shape) bool { return s.Name == "one" })
			for i := range p.shapes {
				p.shapes[i].Name, p.shapes[i].role = rest, role
			}
		case rest == cluster.Clients:
			p.take(func(s Shape) bool { return s.clients })
		default:
			p.take(func(s Shape) bool { return s.Name == rest })
		}
		if len(p.shapes) == 0 {
			return p, fmt.Errorf("%q: there is no such %s; possible are %s", word, p.family.Name, names(p.family))
		}
	}
	return p, nil
}

// parseRooms reads rooms:n1,n2/n3,n4,n5.
func parseRooms(text string) (Shape, error) {
	var groups [][]cluster.Node
	seen := map[cluster.Node]bool{}
	for room := range strings.SplitSeq(strings.TrimPrefix(text, roomsPrefix), "/") {
		nodes := strings.Split(room, ",")
		for _, node := range nodes {
			if !isNode.MatchString(node) {
				return Shape{}, fmt.Errorf("%q: %q is not a node; write rooms as rooms:n1,n2,n3/n4,n5", text, node)
			}
			if seen[node] {
				return Shape{}, fmt.Errorf("%q: %s is in two rooms", text, node)
			}
			seen[node] = true
		}
		groups = append(groups, nodes)
	}
	if len(groups) < 2 {
		return Shape{}, fmt.Errorf("%q: it takes two rooms; write them as rooms:n1,n2,n3/n4,n5", text)
	}
	if len(seen) > harness.MaxNodes {
		return Shape{}, fmt.Errorf("rooms of %d nodes: a cluster has at most %d", len(seen), harness.MaxNodes)
	}
	return rooms(text, groups), nil
}

func vocabulary(known []*Family) string {
	words := []string{"none", "all", "overlap"}
	for _, f := range known {
		words = append(words, f.Name, f.Name+":SHAPE")
	}
	return strings.Join(append(words, roomsPrefix+"n1,n2/n3,…"), ", ")
}

// byProcess are the families that can hit single processes: "kill and pause".
func byProcess(known []*Family) string {
	var names []string
	for _, f := range known {
		if f.ByProcess {
			names = append(names, f.Name)
		}
	}
	return strings.Join(names, " and ")
}

// names are of all shapes and modes.
func names(f *Family) string {
	var names []string
	for _, s := range f.Shapes {
		names = append(names, s.Name)
	}
	for _, m := range f.Modes {
		if m.Name != "" {
			names = append(names, m.Name)
		}
	}
	return strings.Join(names, ", ")
}
