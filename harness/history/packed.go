package history

import (
	"cmp"
	"encoding/binary"
	"errors"
	"io"
	"iter"
	"slices"
	"strings"
	"time"
)

// PackAbove is the size of a history's file in bytes above which it is worth to keep the
// operations packed.
const PackAbove = 100 << 20

// Packed holds the operations of registers, by key, in about 15 bytes each, where an
// Operation takes 160 and its values. It is not changed once it has been read, and may be
// used concurrently.
//
// Of each key it holds the events in the order of the file: who, what, the time since
// the key's event before, and each value as the difference from the one before. All
// but the first are small numbers, which take few bytes (encoding/binary's varints).
type Packed struct {
	keys       []*packedKey // ordered by name, once all is read
	byName     map[string]*packedKey
	nodes      dictionary
	errors     dictionary
	operations int
	open       int           // operations without a completion
	first      time.Duration // invocation
	last       time.Duration // invocation
	latest     time.Duration // event of an operation
	end        time.Duration // of the history
}

// A packedKey are the events of one key.
type packedKey struct {
	name       string
	operations int
	bytes      int
	chunks     [][]byte // no event is in two
	time       time.Duration
	value      int64
}

// A dictionary numbers texts in the order of their appearance.
type dictionary struct {
	texts   []string
	numbers map[string]uint64
}

func (d *dictionary) number(text string) uint64 {
	n, known := d.numbers[text]
	if !known {
		if d.numbers == nil {
			d.numbers = map[string]uint64{}
		}
		n = uint64(len(d.texts))
		d.texts, d.numbers[text] = append(d.texts, text), n
	}
	return n
}

// errNotPacked means that a history holds what Packed has no place for.
var errNotPacked = errors.New("not a history of registers alone")

// ReadPacked reads what ReadHistory reads. If all operations are those of registers, and
// no two were invoked at the same moment, they are in the history's Packed, and its
// Operations are nil; else it is read again from its beginning, as ReadHistory does.
func ReadPacked(r io.ReadSeeker) (History, error) {
	h, err := readHistory(r, &Packed{byName: map[string]*packedKey{}})
	if !errors.Is(err, errNotPacked) {
		return h, err
	}
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return History{}, err
	}
	return ReadHistory(r)
}

// packedKinds take as many integers as their places tell.
var packedKinds = [...]Kind{Read, Write, CompareAndSet}

// The first byte of an event is its sort, and of an invocation the place of its kind in
// packedKinds in the bits above.
const (
	completes  = 1 << 0
	outcomeBit = 1 // two bits
	kindBit    = 1 // two bits
	hasOutput  = 1 << 3
	hasError   = 1 << 4
)

// longestEvent is a byte and six varints.
const longestEvent = 1 + 6*binary.MaxVarintLen64

// invoke takes an invocation, unless there is no place for such a one.
func (p *Packed) invoke(op *Operation) error {
	kind := slices.Index(packedKinds[:], op.Kind)
	later := p.operations == 0 || op.Invoke > p.last
	if kind < 0 || !op.Input.IsInts() || op.Input.Len() != kind || !later || op.Invoke == Never {
		return errNotPacked
	}
	if p.operations == 0 {
		p.first = op.Invoke
	}
	p.operations++
	p.open++
	p.last, p.latest = op.Invoke, op.Invoke
	key := p.byName[op.Key]
	if key == nil {
		key = &packedKey{name: op.Key}
		p.byName[op.Key] = key
		p.keys = append(p.keys, key)
	}
	key.operations++
	event := key.event(byte(kind)<<kindBit, op.Invoke, op.Process)
	event = binary.AppendUvarint(event, p.nodes.number(op.Node))
	for i := range kind {
		event = key.appendValue(event, op.Input.At(i))
	}
	key.put(event)
	return nil
}

// complete takes a completion, unless there is no place for such a one.
func (p *Packed) complete(op *Operation) error {
	if !op.Output.IsInts() || op.Output.Len() > 1 || op.Complete == Never {
		return errNotPacked
	}
	sort := byte(completes) | byte(op.Outcome)<<outcomeBit
	if op.Output.Len() > 0 {
		sort |= hasOutput
	}
	if op.Error != "" {
		sort |= hasError
	}
	p.open--
	p.latest = op.Complete
	key := p.byName[op.Key]
	event := key.event(sort, op.Complete, op.Process)
	if op.Output.Len() > 0 {
		event = key.appendValue(event, op.Output.At(0))
	}
	if op.Error != "" {
		event = binary.AppendUvarint(event, p.errors.number(op.Error))
	}
	key.put(event)
	return nil
}

// event begins an event, in the free room of the last chunk.
func (k *packedKey) event(sort byte, at time.Duration, process int) []byte {
	const least, most = 2 * longestEvent, 64 << 10
	if n := len(k.chunks); n == 0 || cap(k.chunks[n-1])-len(k.chunks[n-1]) < longestEvent {
		k.chunks = append(k.chunks, make([]byte, 0, min(max(least, k.bytes/4), most)))
	}
	event := append(k.chunks[len(k.chunks)-1], sort)
	event = binary.AppendUvarint(event, uint64(at-k.time))
	k.time = at
	return binary.AppendVarint(event, int64(process))
}

func (k *packedKey) put(event []byte) {
	last := &k.chunks[len(k.chunks)-1]
	k.bytes += len(event) - len(*last)
	*last = event
}

func (k *packedKey) appendValue(event []byte, value int64) []byte {
	event = binary.AppendVarint(event, value-k.value)
	k.value = value
	return event
}

// finish puts the keys in their order. The last event was at end.
func (p *Packed) finish(end time.Duration) error {
	if end == Never {
		return errNotPacked
	}
	p.end = end
	slices.SortFunc(p.keys, func(a, b *packedKey) int { return strings.Compare(a.name, b.name) })
	return nil
}

// An unpacker makes operations of events.
type unpacker struct {
	of         *Packed
	operations []Operation
	integers   []int64 // room for their values
	open       []int   // places in operations
	rest       []byte  // of a chunk
	time       time.Duration
	value      int64
}

// add appends a key's operations, ordered by Invoke.
func (u *unpacker) add(key *packedKey) {
	u.operations = slices.Grow(u.operations, key.operations)
	u.open, u.time, u.value = u.open[:0], 0, 0
	for _, u.rest = range key.chunks {
		for len(u.rest) > 0 {
			sort := u.rest[0]
			u.rest = u.rest[1:]
			u.time += time.Duration(u.number())
			process := int(u.signed())
			if sort&completes != 0 {
				u.complete(sort, process)
				continue
			}
			kind := int(sort >> kindBit)
			u.open = append(u.open, len(u.operations))
			u.operations = append(u.operations, Operation{
				Process: process, Kind: packedKinds[kind], Key: key.name, Invoke: u.time,
				Node: u.of.nodes.texts[u.number()], Input: u.values(kind),
			})
		}
	}
	for _, i := range u.open {
		u.operations[i].leaveOpen(u.of.end)
	}
}

func (u *unpacker) complete(sort byte, process int) {
	n := slices.IndexFunc(u.open, func(i int) bool { return u.operations[i].Process == process })
	o := &u.operations[u.open[n]]
	u.open[n] = u.open[len(u.open)-1]
	u.open = u.open[:len(u.open)-1]
	o.Complete, o.Outcome = u.time, Outcome(sort>>outcomeBit&3)
	if sort&hasOutput != 0 {
		o.Output = u.values(1)
	}
	if sort&hasError != 0 {
		o.Error = u.of.errors.texts[u.number()]
	}
}

func (u *unpacker) number() uint64 {
	n, length := binary.Uvarint(u.rest)
	u.rest = u.rest[length:]
	return n
}

func (u *unpacker) signed() int64 {
	n, length := binary.Varint(u.rest)
	u.rest = u.rest[length:]
	return n
}

func (u *unpacker) values(count int) Value {
	if count == 0 {
		return Value{}
	}
	const room = 256
	if cap(u.integers)-len(u.integers) < count {
		u.integers = make([]int64, 0, room)
	}
	from := len(u.integers)
	for range count {
		u.value += u.signed()
		u.integers = append(u.integers, u.value)
	}
	return Ints(u.integers[from:len(u.integers):len(u.integers)]...)
}

// Parts returns all keys in the order of their names, as many together as have at most so
// many operations, but at least one.
func (p *Packed) Parts(most int) [][]string {
	var parts [][]string
	room := 0
	for _, key := range p.keys {
		if len(parts) == 0 || key.operations > room {
			parts, room = append(parts, nil), most
		}
		last := &parts[len(parts)-1]
		*last = append(*last, key.name)
		room -= key.operations
	}
	return parts
}

// Of returns the operations of some keys, key by key, and those of a key ordered by
// Invoke.
func (p *Packed) Of(keys []string) []Operation {
	count := 0
	for _, key := range keys {
		if packed := p.byName[key]; packed != nil {
			count += packed.operations
		}
	}
	u := unpacker{of: p, operations: make([]Operation, 0, count)}
	for _, key := range keys {
		if packed := p.byName[key]; packed != nil {
			u.add(packed)
		}
	}
	return u.operations
}

// Unpacked is the same history with all its Operations, ordered by Invoke.
func (h History) Unpacked() History {
	if h.Packed != nil {
		var keys []string
		for _, key := range h.Packed.keys {
			keys = append(keys, key.name)
		}
		h.Operations, h.Packed = h.Packed.Of(keys), nil
		slices.SortFunc(h.Operations, func(a, b Operation) int { return cmp.Compare(a.Invoke, b.Invoke) })
	}
	return h
}

// Each yields the operations: ordered by Invoke or, of a packed history, key by key.
// Each may be looked at until the next.
func (h *History) Each() iter.Seq[*Operation] {
	return func(yield func(*Operation) bool) {
		for i := range h.Operations {
			if !yield(&h.Operations[i]) {
				return
			}
		}
		if h.Packed == nil {
			return
		}
		u := unpacker{of: h.Packed}
		for _, key := range h.Packed.keys {
			u.operations, u.integers = u.operations[:0], u.integers[:0]
			u.add(key)
			for i := range u.operations {
				if !yield(&u.operations[i]) {
					return
				}
			}
		}
	}
}

// Span returns how many operations there are, the first and the last invocation, and the
// last invocation or completion.
func (h *History) Span() (operations int, first, last, end time.Duration) {
	if p := h.Packed; p != nil {
		if p.open > 0 {
			return p.operations, p.first, p.last, p.end
		}
		return p.operations, p.first, p.last, p.latest
	}
	for i := range h.Operations {
		o := &h.Operations[i]
		if i == 0 {
			first, last = o.Invoke, o.Invoke
		}
		first, last, end = min(first, o.Invoke), max(last, o.Invoke), max(end, o.Invoke, o.Complete)
	}
	return len(h.Operations), first, last, end
}
