package async

import (
	"fmt"
	"strconv"
	"strings"
)

// A branch is where an epoch's primary began to write: its first command has the
// offset start+1, and says that the epoch begins.
type branch struct{ epoch, start int64 }

// A lineage tells a history by its branches, in order: who wrote what is given by
// the epoch, for an epoch has one primary. Together with an offset it identifies
// a node's whole history without holding it. It grows by one branch a failover.
//
// Kafka keeps the same list, as its leader epoch cache; Redis keeps the last two
// entries, as replication IDs.
type lineage []branch

// epoch of the last command; 0 in an empty history.
func (l lineage) epoch() int64 {
	if len(l) == 0 {
		return 0
	}
	return l[len(l)-1].epoch
}

// shared returns the offset up to which two histories are the same: the end of
// the shorter, unless one branched off earlier.
func shared(a lineage, aEnd int64, b lineage, bEnd int64) int64 {
	same := 0
	for same < len(a) && same < len(b) && a[same] == b[same] {
		same++
	}
	offset := min(aEnd, bEnd)
	for _, rest := range []lineage{a[same:], b[same:]} {
		if len(rest) > 0 {
			offset = min(offset, rest[0].start)
		}
	}
	return offset
}

// writesAfter counts the writes after an offset of a history that ends at end:
// all commands but those that begin an epoch.
func (l lineage) writesAfter(offset, end int64) int64 {
	writes := end - offset
	for _, b := range l {
		if b.start >= offset {
			writes--
		}
	}
	return writes
}

// String is the lineage as one word: "1:0,3:250", or "-" if it is empty.
func (l lineage) String() string {
	if len(l) == 0 {
		return "-"
	}
	words := make([]string, len(l))
	for i, b := range l {
		words[i] = fmt.Sprintf("%d:%d", b.epoch, b.start)
	}
	return strings.Join(words, ",")
}

// parseLineage is the inverse of String, for a history that ends at end.
func parseLineage(word string, end int64) (lineage, error) {
	if word == "-" && end == 0 {
		return nil, nil
	}
	var l lineage
	before := branch{epoch: 0, start: -1}
	for text := range strings.SplitSeq(word, ",") {
		epoch, start, _ := strings.Cut(text, ":")
		b := branch{}
		var err, startErr error
		b.epoch, err = strconv.ParseInt(epoch, 10, 64)
		b.start, startErr = strconv.ParseInt(start, 10, 64)
		if err != nil || startErr != nil || b.epoch <= before.epoch || b.start <= before.start || b.start >= end {
			return nil, fmt.Errorf("bad lineage %.100q of a history of %d commands", word, end)
		}
		l = append(l, b)
		before = b
	}
	return l, nil
}
