package search

import (
	"iter"
	"math/bits"
)

// A bitset has a bit for each slot.
type bitset []uint64

func (b bitset) has(slot int32) bool { return b[slot>>6]>>(slot&63)&1 != 0 }
func (b bitset) set(slot int32)      { b[slot>>6] |= 1 << (slot & 63) }
func (b bitset) unset(slot int32)    { b[slot>>6] &^= 1 << (slot & 63) }

// A layout says where in the words of a register's configuration everything is:
// first the value that it holds, then the slots that are done, then those that
// are spent, then a counter for each class with unknown operations.
type layout struct{ words, size int }

func (l layout) done(c []uint64) bitset       { return bitset(c[1 : 1+l.words]) }
func (l layout) spent(c []uint64) bitset      { return bitset(c[1+l.words : 1+2*l.words]) }
func (l layout) counters(c []uint64) []uint64 { return c[1+2*l.words:] }

// forget frees a slot.
func (l layout) forget(c []uint64, slot int32) {
	l.done(c).unset(slot)
	l.spent(c).unset(slot)
}

// better: a is as good as b, or better, if both hold the same value.
func (l layout) better(a, b []uint64) bool {
	for w := range l.words {
		if b[1+w]&^a[1+w] != 0 || a[1+l.words+w]&^b[1+l.words+w] != 0 {
			return false
		}
	}
	others := l.counters(b)
	for i, n := range l.counters(a) {
		if n > others[i] {
			return false
		}
	}
	return true
}

// distance is how far a and b are from each other.
func (l layout) distance(a, b []uint64) int {
	d := 0
	for w := 1; w < 1+2*l.words; w++ {
		d += bits.OnesCount64(a[w] ^ b[w])
	}
	others := l.counters(b)
	for i, n := range l.counters(a) {
		d += max(int(n)-int(others[i]), int(others[i])-int(n))
	}
	return d
}

// join makes a the least that is better than a and b.
func (l layout) join(a, b []uint64) {
	for w := range l.words {
		a[1+w] |= b[1+w]
		a[1+l.words+w] &= b[1+l.words+w]
	}
	others := l.counters(b)
	for i, n := range l.counters(a) {
		l.counters(a)[i] = min(n, others[i])
	}
}

// configurations are a set of configurations of a register, of which none is
// better than another, and not more than width hold the same value.
type configurations struct {
	layout
	// writes are the slots of open writes.
	writes bitset
	width  int
	// join says what becomes of those that are too many: they are joined, or
	// else dropped, those of the least score first.
	join bool
	// outgrown: there were too many, once.
	outgrown bool

	words  []uint64 // of all of them, one after the other
	scores []int    // of each
	// uses counts how often a place in words was used, so that tickets run out.
	uses []uint32
	free []int32
	// byValue are the places of those that hold a value; held are the values
	// that some may hold.
	byValue [][]int32
	held    []uint64
	total   int
	// grown is the capacity of byValue's elements.
	grown int
	// cost is how many were made or compared, ever.
	cost int
}

// A ticket is for a configuration, as long as it is in the set.
type ticket struct {
	place int32
	use   uint32
}

// newConfigurations returns an empty set; writes is kept up to date by others.
func newConfigurations(l layout, writes bitset, values int) configurations {
	return configurations{layout: l, writes: writes, byValue: make([][]int32, values)}
}

// score is never less for the better one of two configurations: how much is done,
// less four times the writes that are spent. It guesses which ones to drop.
func (s *configurations) score(c []uint64) int {
	score := 0
	done, spent := s.done(c), s.spent(c)
	for w := range done {
		score += bits.OnesCount64(done[w]) - 4*bits.OnesCount64(spent[w]&s.writes[w])
	}
	return score
}

// bytes is what the set holds in memory, or will when it grows next.
func (s *configurations) bytes() int {
	return 24*cap(s.byValue) + growing(8*(cap(s.words)+cap(s.scores)+cap(s.held))+4*(cap(s.uses)+cap(s.free)+s.grown))
}

// growing is how many bytes slices of so many may need soon: append makes one
// that is a quarter larger before it lets go of the old one.
func growing(bytes int) int { return bytes * 9 / 4 }

// at returns the words of the configuration at a place.
func (s *configurations) at(place int32) []uint64 {
	return s.words[int(place)*s.size : (int(place)+1)*s.size]
}

// all yields every configuration with its score. Both may be changed, if none
// becomes better than another by that.
func (s *configurations) all() iter.Seq2[[]uint64, *int] {
	return func(yield func([]uint64, *int) bool) {
		for _, v := range s.held {
			for _, place := range s.byValue[v] {
				if !yield(s.at(place), &s.scores[place]) {
					return
				}
			}
		}
	}
}

// holds reports whether the configuration that the ticket is for is still there.
func (s *configurations) holds(t ticket) bool { return s.uses[t.place] == t.use }

// clear empties the set. Tickets must not be used any more.
func (s *configurations) clear() {
	for _, v := range s.held {
		s.byValue[v] = s.byValue[v][:0]
	}
	s.held, s.total = s.held[:0], 0
	s.words, s.scores, s.uses, s.free = s.words[:0], s.scores[:0], s.uses[:0], s.free[:0]
}

// add adds c, or, if there are too many, what is joined with it, and appends a
// ticket to tickets if the set has changed. It does not keep c, but may change it.
func (s *configurations) add(c []uint64, tickets []ticket) []ticket {
	v := c[0]
	score := s.score(c)
	for {
		places := s.byValue[v]
		s.cost += 1 + len(places)
		kept := places[:0]
		for i, place := range places {
			other := s.at(place)
			if s.scores[place] >= score && s.better(other, c) {
				return tickets // i is 0, or nothing was removed: better is transitive
			}
			if s.scores[place] <= score && s.better(c, other) {
				s.remove(place)
			} else {
				kept = append(kept, places[i])
			}
		}
		s.byValue[v] = kept
		if len(kept) < s.width {
			break
		}
		s.outgrown = true
		if !s.join {
			least := 0
			for i, place := range kept {
				if s.scores[place] < s.scores[kept[least]] {
					least = i
				}
			}
			if s.scores[kept[least]] >= score {
				return tickets
			}
			s.remove(kept[least])
			s.byValue[v] = append(kept[:least], kept[least+1:]...)
			break
		}
		nearest, distance := 0, -1
		for i, place := range kept {
			if d := s.distance(s.at(place), c); distance < 0 || d < distance {
				nearest, distance = i, d
			}
		}
		s.layout.join(c, s.at(kept[nearest]))
		score = s.score(c) // it will replace the nearest, at least
	}
	return append(tickets, s.put(c, score))
}

func (s *configurations) remove(place int32) {
	s.uses[place]++
	s.free = append(s.free, place)
	s.total--
}

// put gives c a place.
func (s *configurations) put(c []uint64, score int) ticket {
	var place int32
	if n := len(s.free); n > 0 {
		place = s.free[n-1]
		s.free = s.free[:n-1]
		copy(s.at(place), c)
		s.scores[place] = score
	} else {
		place = int32(len(s.scores))
		s.words = append(s.words, c...)
		s.scores = append(s.scores, score)
		s.uses = append(s.uses, 0)
	}
	v := c[0]
	places := s.byValue[v]
	if len(places) == 0 {
		s.held = append(s.held, v)
	}
	s.grown -= cap(places)
	s.byValue[v] = append(places, place)
	s.grown += cap(s.byValue[v])
	s.total++
	return ticket{place, s.uses[place]}
}
