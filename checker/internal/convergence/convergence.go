// Package convergence decides whether replicas came to agree (Vogels, "Eventually
// consistent", CACM 52(1), 2009): when updates have ended, and time has passed, all reads
// of one object tell the same.
//
// An update of unknown outcome may take effect at any time, so what it changes may differ
// between reads. How much time is enough, the caller decides: she gives the reads since
// then.
package convergence

// An Object is what the last reads of one object told.
type Object struct {
	Reads []Read
	// Late tells of a value or element whether an update of it may have taken effect among
	// the reads.
	Late func(int64) bool
	// Counter means that reads tell a sum, which may differ by so much as late updates
	// add and take together.
	Counter bool
	Slack   uint64
	// Elements means that reads tell the elements of a set, in any order; else a value, or
	// nothing.
	Elements bool
}

// A Read is one that succeeded, through a node, if that is known.
type Read struct {
	Node string
	Told []int64
}

// Compared: reads are through more than one node.
func (o Object) Compared() bool {
	for _, r := range o.Reads {
		if r.Node != o.Reads[0].Node {
			return true
		}
	}
	return false
}

// Disagree returns two reads that disagree, by index. It takes linear time in what was told.
func (o Object) Disagree() (a, b int, found bool) {
	switch {
	case o.Elements:
		return o.differentElements()
	case o.Counter:
		return o.differentSums()
	}
	first := -1
	for i, r := range o.Reads {
		switch {
		case len(r.Told) > 0 && o.Late(r.Told[0]):
		case first < 0:
			first = i
		case !same(o.Reads[first].Told, r.Told):
			return first, i, true
		}
	}
	return 0, 0, false
}

// differentSums compares the least sum with the greatest.
func (o Object) differentSums() (a, b int, found bool) {
	least, greatest := -1, -1
	for i, r := range o.Reads {
		if len(r.Told) == 0 {
			continue
		}
		if least < 0 || r.Told[0] < o.Reads[least].Told[0] {
			least = i
		}
		if greatest < 0 || r.Told[0] > o.Reads[greatest].Told[0] {
			greatest = i
		}
	}
	if least < 0 || uint64(o.Reads[greatest].Told[0])-uint64(o.Reads[least].Told[0]) <= o.Slack {
		return 0, 0, false
	}
	return min(least, greatest), max(least, greatest), true
}

// differentElements compares all reads with the first: if two differ, one of them differs
// from that.
func (o Object) differentElements() (a, b int, found bool) {
	if len(o.Reads) == 0 {
		return 0, 0, false
	}
	first := map[int64]bool{}
	for _, e := range o.Reads[0].Told {
		if !o.Late(e) {
			first[e] = true
		}
	}
	for i, r := range o.Reads {
		seen := map[int64]bool{}
		for _, e := range r.Told {
			if o.Late(e) {
				continue
			}
			if !first[e] {
				return 0, i, true
			}
			seen[e] = true
		}
		if len(seen) < len(first) {
			return 0, i, true
		}
	}
	return 0, 0, false
}

func same(a, b []int64) bool { return len(a) == len(b) && (len(a) == 0 || a[0] == b[0]) }
