package lww

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/rashomon-io/rashomon/harness/cluster"
	"github.com/rashomon-io/rashomon/targets/internal/line"
)

// An entry is a value under an identity: "r/KEY" is a register, "e/ELEMENT" an
// element of the set, which has one value and one stamp, whoever adds it. As text
// it is four words: IDENTITY VALUE TIME NODE.
type entry struct {
	identity string
	value    int64
	time     int64        // of the writer's wall clock, in Unix nanoseconds
	node     cluster.Node // the writer's
}

func register(key string) string { return "r/" + key }

func element(value int64) entry {
	return entry{identity: "e/" + strconv.FormatInt(value, 10), value: value, node: "-"}
}

func (e entry) String() string {
	return fmt.Sprintf("%s %d %d %s", e.identity, e.value, e.time, e.node)
}

const entryWords = 4

// parseEntries reads entries that follow one another.
func parseEntries(words []string) ([]entry, error) {
	if len(words)%entryWords != 0 {
		return nil, errors.New("the last entry is cut off")
	}
	entries := make([]entry, 0, len(words)/entryWords)
	for ; len(words) > 0; words = words[entryWords:] {
		numbers, err := line.Numbers(words[1:3])
		if err != nil {
			return nil, err
		}
		e := entry{words[0], numbers[0], numbers[1], words[3]}
		isRegister := len(e.identity) > 2 && strings.HasPrefix(e.identity, "r/")
		if !isRegister && e != element(e.value) {
			return nil, fmt.Errorf("%.200q is not an entry", e)
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// after orders the entries of one identity totally, so that all nodes agree on the
// newest.
func (e entry) after(other entry) bool {
	return cmp.Or(cmp.Compare(e.time, other.time), cmp.Compare(e.node, other.node), cmp.Compare(e.value, other.value)) > 0
}

// Entries fall into buckets by their identity, for tables to be compared piece by
// piece.
const buckets = 64

// A digest is the exclusive or of the hashes of a bucket's entries: equal buckets
// have equal digests, and unequal ones almost never.
type digest uint64

// A table is the newest entry of each identity.
type table struct {
	entries map[string]entry
	digests [buckets]digest
}

func newTable() *table { return &table{entries: map[string]entry{}} }

// merge keeps the newer of e and what is there, and reports whether that is e.
// Merging is commutative, associative and idempotent.
func (t *table) merge(e entry) bool {
	old, found := t.entries[e.identity]
	if found && !e.after(old) {
		return false
	}
	digest := &t.digests[bucket(e.identity)]
	if found {
		*digest ^= hash(old)
	}
	*digest ^= hash(e)
	t.entries[e.identity] = e
	return true
}

// in returns the entries of the buckets whose bits are set.
func (t *table) in(which uint64) []entry {
	var entries []entry
	for identity, e := range t.entries {
		if which>>bucket(identity)&1 == 1 {
			entries = append(entries, e)
		}
	}
	return entries
}

func bucket(identity string) int {
	sum := sha256.Sum256([]byte(identity))
	return int(sum[0]) % buckets
}

func hash(e entry) digest {
	sum := sha256.Sum256([]byte(e.String()))
	return digest(binary.BigEndian.Uint64(sum[:]))
}
