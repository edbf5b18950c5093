package jepsen

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rashomon-io/rashomon/harness/history"
)

// resolveAppends turns :get, :put and :append of strings into what registers can
// do, or says in an error why it cannot. Every key must start out as "".
//
// Take one key. If none of the pieces that were put or appended begins another,
// a string is made of pieces in one way at most, and every state of the key is
// such a string. A get that shows a string proves that each prefix of it, up to
// the end of a piece, was a state, too: call these states shown.
//
// An append of a that created a shown state P·a is a compare-and-set from P to
// P·a. Any other append created a state that was never shown, and neither can
// those be that follow it until the next put, since it is their prefix: that is
// a write of a value that nothing else has. With these two replacements the same
// orders explain the history.
//
// What must be known is which append created which shown state. It was invoked
// before the last get that shows the state returned, or the first if the state
// cannot come twice; it was not over before all pieces of P had been invoked; no put came after it and was over before the
// first of these gets; and one that appended to the empty string was invoked
// before any other put or append was over. If that leaves one append, it is the
// one. If it leaves none, then the state was put, or nobody created it, and a
// get returned what was never written. If it leaves several, or one that a put
// may have preceded in the same, the history is refused.
func resolveAppends(calls []call) error {
	var keys []string
	byKey := map[string]*texts{}
	for i := range calls {
		c := &calls[i]
		name := c.key.String()
		k := byKey[name]
		if k == nil {
			k = &texts{appends: map[string][]*call{}, puts: map[string][]*call{}, states: map[string]*state{}}
			byKey[name] = k
			keys = append(keys, name)
		}
		if err := k.add(c); err != nil {
			return &history.LineError{Line: c.line, Err: err}
		}
	}
	for _, name := range keys {
		if err := byKey[name].resolve(); err != nil {
			return err
		}
	}
	return nil
}

// texts is the history of one key.
type texts struct {
	gets          []*call // acknowledged
	puts, appends map[string][]*call
	pieces        []string // sorted
	states        map[string]*state
}

// A state is a string that a get showed, or the beginning of one.
type state struct {
	before, piece string
	possible      time.Duration // since when it can have been there
	shown         time.Duration // when the first get that shows it returned, or the last if it recurs
	asked         time.Duration // when the first get that shows it was invoked
	recurs        bool          // what it begins with may have been there twice
}

func (k *texts) add(c *call) error {
	happened := c.outcome != history.Fail
	switch c.f {
	case "get", "read":
		c.f = "get"
		if c.output.kind == null {
			c.output = datum{kind: text}
		}
		if c.outcome == history.OK && c.output.kind != text {
			return fmt.Errorf("a key of strings that are appended to shows %.40s", c.output)
		}
		if c.outcome == history.OK {
			k.gets = append(k.gets, c)
		}
	case "put", "write", "append":
		if c.input.kind != text || c.f == "append" && c.input.text == "" {
			return fmt.Errorf(":%s of %.40s; where there are appends, every value must be a string, and nothing is appended that is empty", c.f, c.input)
		}
		kind := k.puts
		if c.f == "append" {
			kind = k.appends
		}
		if happened {
			kind[c.input.text] = append(kind[c.input.text], c)
			k.pieces = append(k.pieces, c.input.text)
		} else {
			c.f = "put" // neither happened
		}
	default:
		return fmt.Errorf("unknown :f :%s (with appends there can be :get, :put and :append)", clip(c.f))
	}
	return nil
}

func (k *texts) resolve() error {
	if err := k.unambiguous(); err != nil {
		return err
	}
	slices.SortFunc(k.gets, func(a, b *call) int { return cmp.Compare(a.complete, b.complete) })
	var order []*state
	for _, get := range k.gets {
		order = append(order, k.show(get)...)
	}
	slices.SortFunc(k.gets, func(a, b *call) int { return cmp.Compare(b.invoke, a.invoke) })
	for _, get := range k.gets { // the first to be invoked comes last
		for s := k.states[get.output.text]; s != nil; s = k.states[s.before] {
			s.asked = get.invoke
			if s.recurs {
				s.shown = max(s.shown, get.complete)
			}
		}
	}
	creators := map[*call]*state{}
	for _, s := range order {
		i, err := k.creator(s)
		if err != nil {
			return err
		}
		if i != nil && creators[i] == nil {
			creators[i] = s
		}
	}
	for piece, appends := range k.appends {
		for _, c := range appends {
			if s := creators[c]; s != nil {
				c.f = "cas"
				c.input = datum{kind: vector, items: []datum{{kind: text, text: s.before}, {kind: text, text: s.before + piece}}}
			} else {
				c.f = "write"
				c.input = datum{kind: literal, text: fmt.Sprintf("…%s (line %d)", c.input, c.line)}
			}
		}
	}
	return nil
}

// unambiguous sorts the pieces and refuses one that begins another.
func (k *texts) unambiguous() error {
	slices.Sort(k.pieces)
	k.pieces = slices.Compact(k.pieces)
	if len(k.pieces) > 0 && k.pieces[0] == "" {
		k.pieces = k.pieces[1:]
	}
	for i, piece := range k.pieces {
		if i == 0 {
			continue
		}
		if before := k.pieces[i-1]; strings.HasPrefix(piece, before) {
			long := append(k.appends[piece], k.puts[piece]...)[0]
			return &history.LineError{Line: long.line, Err: fmt.Errorf("%.40q begins with %.40q, so what was appended when cannot be told from what was read; appends are judged only where no piece begins another", piece, before)}
		}
	}
	return nil
}

// show returns the states that get is the first to show, the longest last;
// none of a string that is not made of pieces.
func (k *texts) show(get *call) []*state {
	whole := get.output.text
	var ends []int
	for end := 0; end < len(whole); {
		// No piece begins another, so the only one that rest can begin with is
		// the last one that is not greater.
		rest := whole[end:]
		i, found := slices.BinarySearch(k.pieces, rest)
		if !found {
			i--
		}
		if i < 0 || !strings.HasPrefix(rest, k.pieces[i]) {
			return nil
		}
		end += len(k.pieces[i])
		ends = append(ends, end)
	}
	var found []*state
	for i, end := range ends {
		if k.states[whole[:end]] != nil {
			continue
		}
		s := &state{piece: whole[:end], shown: get.complete}
		if i > 0 {
			s.before, s.piece = whole[:ends[i-1]], whole[ends[i-1]:end]
			s.possible, s.recurs = k.states[s.before].possible, k.states[s.before].recurs
		} else if puts := len(k.puts[s.piece]); puts == 0 {
			s.recurs = len(k.puts[""]) > 0
		} else {
			s.recurs = puts > 1 || len(k.appends[s.piece]) > 0
		}
		first := time.Duration(latest)
		for _, c := range slices.Concat(k.puts[s.piece], k.appends[s.piece]) {
			first = min(first, c.invoke)
		}
		s.possible = max(s.possible, first)
		k.states[whole[:end]] = s
		found = append(found, s)
	}
	return found
}

// creator returns the append that must have created s; nil if none can have.
func (k *texts) creator(s *state) (*call, error) {
	var candidates []*call
	for _, c := range k.appends[s.piece] {
		if k.mayCreate(c, s) && (s.before != "" || k.canBeFirst(c)) {
			candidates = append(candidates, c)
		}
	}
	if len(candidates) == 0 {
		return nil, nil
	}
	creator := candidates[0]
	if s.before == "" {
		for _, c := range k.puts[s.piece] {
			if k.mayCreate(c, s) {
				candidates = append(candidates, c)
			}
		}
	}
	if len(candidates) > 1 {
		slices.SortFunc(candidates, func(a, b *call) int { return cmp.Compare(a.line, b.line) })
		return nil, &history.LineError{Line: candidates[1].line, Err: fmt.Errorf("%.40q was written on line %d, too, and it cannot be told which of the two a :get of %.40q showed; appends are judged only where it can", s.piece, candidates[0].line, s.before+s.piece)}
	}
	return creator, nil
}

// mayCreate: as far as times tell, the gets that show s may show what c did.
func (k *texts) mayCreate(c *call, s *state) bool {
	if c.invoke > s.shown {
		return false
	}
	if c.outcome != history.OK {
		return true
	}
	since := time.Duration(0)
	if s.before != "" {
		since = k.states[s.before].possible
	}
	if c.complete < since {
		return false
	}
	for _, puts := range k.puts {
		for _, p := range puts {
			if p.outcome == history.OK && p.invoke > c.complete && p.complete < s.asked {
				return false
			}
		}
	}
	return true
}

// canBeFirst: the key can have been empty when c was appended.
func (k *texts) canBeFirst(c *call) bool {
	if len(k.puts[""]) > 0 {
		return true
	}
	for _, kind := range []map[string][]*call{k.puts, k.appends} {
		for _, others := range kind {
			for _, o := range others {
				if o != c && o.outcome == history.OK && o.complete < c.invoke {
					return false
				}
			}
		}
	}
	return true
}
