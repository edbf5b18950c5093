package raftredis

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

// The state's keys in pebble are
//
//	applied                        the index of the last entry that made it
//	element LENGTH KEY MEMBER      nothing, for each member of the set KEY
//	element LENGTH KEY POSITION    an element of the list KEY
//	key KEY                        a record
//
// where applied, element and key stand for one byte each, which put them in this
// order, LENGTH is KEY's, a varint, and POSITION has 8 bytes.
const (
	appliedByte = 'a'
	elementByte = 'e'
	keyByte     = 'k'
	lastByte    = 'z'
)

// A kind is what a key holds.
type kind byte

const (
	text kind = 't'
	list kind = 'l'
	set  kind = 's'
)

// A record is what there is to say of a key, without elements.
type record struct {
	kind    kind
	expires int64  // milliseconds since 1970, 0 for never
	value   string // of a text
	// A list has elements at the positions from first to next, without next.
	first, next uint64
}

func (r record) encode() []byte {
	bytes := binary.BigEndian.AppendUint64([]byte{byte(r.kind)}, uint64(r.expires))
	switch r.kind {
	case text:
		bytes = append(bytes, r.value...)
	case list:
		bytes = binary.BigEndian.AppendUint64(bytes, r.first)
		bytes = binary.BigEndian.AppendUint64(bytes, r.next)
	}
	return bytes
}

func decode(bytes []byte) (record, error) {
	if len(bytes) < 9 {
		return record{}, fmt.Errorf("no record: %.100q", bytes)
	}
	r := record{kind: kind(bytes[0]), expires: int64(binary.BigEndian.Uint64(bytes[1:]))}
	switch rest := bytes[9:]; {
	case r.kind == text:
		r.value = string(rest)
	case r.kind == list && len(rest) == 16:
		r.first, r.next = binary.BigEndian.Uint64(rest), binary.BigEndian.Uint64(rest[8:])
	case r.kind == set && len(rest) == 0:
	default:
		return record{}, fmt.Errorf("no record: %.100q", bytes)
	}
	return r, nil
}

func recordKey(key string) []byte { return append([]byte{keyByte}, key...) }

func elementKey(key, element string) []byte {
	bytes := binary.AppendUvarint([]byte{elementByte}, uint64(len(key)))
	return append(append(bytes, key...), element...)
}

func position(p uint64) string { return string(binary.BigEndian.AppendUint64(nil, p)) }

// afterAll follows all keys that begin with these bytes, of which one must be less
// than 255.
func afterAll(prefix []byte) []byte {
	end := append([]byte(nil), prefix...)
	for i := len(end) - 1; ; i-- {
		if end[i]++; end[i] != 0 {
			return end[:i+1]
		}
	}
}

// A transaction is how one command sees and changes the state. A command reads
// before it writes: what it has changed it does not see.
type transaction struct {
	state   pebble.Reader
	changes *pebble.Batch // nil if it only reads
	now     int64         // the entry's time, in milliseconds since 1970
}

// A refusal is an error reply that is part of the state's rules: all replicas
// agree on it.
type refusal string

func (r refusal) Error() string { return string(r) }

const errWrongType = refusal("WRONGTYPE Operation against a key holding the wrong kind of value")

// errMayExpire is a read's that must go through the log.
var errMayExpire = errors.New("the key may expire")

// find returns a key's record, if it is there and has not expired. The key must
// hold this kind, unless that is 0.
func (t *transaction) find(key string, want kind) (r record, found bool, err error) {
	bytes, found, err := t.get(recordKey(key))
	if err != nil || !found {
		return record{}, false, err
	}
	if r, err = decode(bytes); err != nil {
		return record{}, false, err
	}
	switch {
	case r.expires == 0:
	case t.changes == nil:
		return record{}, false, errMayExpire
	case r.expires <= t.now:
		return record{}, false, t.remove(key, r)
	}
	if want != 0 && r.kind != want {
		return record{}, false, errWrongType
	}
	return r, true, nil
}

func (t *transaction) get(key []byte) (value []byte, found bool, err error) {
	value, closer, err := t.state.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	return append([]byte(nil), value...), true, closer.Close()
}

func (t *transaction) put(key string, r record) error {
	return t.changes.Set(recordKey(key), r.encode(), nil)
}

func (t *transaction) remove(key string, r record) error {
	if r.kind != text {
		all := elementKey(key, "")
		if err := t.changes.DeleteRange(all, afterAll(all), nil); err != nil {
			return err
		}
	}
	return t.changes.Delete(recordKey(key), nil)
}

// members returns the elements of a set, in order of bytes.
func (t *transaction) members(key string) (members []string, err error) {
	all := elementKey(key, "")
	iterator, err := t.state.NewIter(&pebble.IterOptions{LowerBound: all, UpperBound: afterAll(all)})
	if err != nil {
		return nil, err
	}
	for iterator.First(); iterator.Valid(); iterator.Next() {
		members = append(members, string(iterator.Key()[len(all):]))
	}
	return members, iterator.Close()
}
