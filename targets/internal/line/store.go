package line

import (
	"strconv"
	"strings"

	"github.com/rashomon-io/rashomon/workloads"
)

// A Store is what a node answers clients from: integers under keys, and one set
// that only grows.
type Store interface {
	Get(key string) (value int64, found bool)
	Set(key string, value int64) error
	// SetBoth sets two keys, at once as far as the store can.
	SetBoth(key1 string, value1 int64, key2 string, value2 int64) error
	// CompareAndSet returns nil, or what was there instead of old, or why
	// nobody knows.
	CompareAndSet(key string, old, new int64) (*workloads.Mismatch, error)
	Add(element int64) error
	Elements() []int64
}

// A Coordinator is a Store that has queues and locks, too.
type Coordinator interface {
	Store
	Enqueue(queue string, element int64) error
	Dequeue(queue string) (element int64, found bool, err error)
	// Acquire takes a lock for a holder, unless it is held, by whomever. The
	// fencing token grows; 0 means none.
	Acquire(lock string, holder int64) (token int64, acquired bool, err error)
	// Release returns false if the lock is not the holder's.
	Release(lock string, holder int64) (released bool, err error)
}

// Answer carries out a client's request and returns the reply:
//
//	get KEY                 value V | none
//	set KEY V               ok
//	cas KEY OLD NEW         ok | saw V | saw none
//	add E                   ok
//	elements                elements E…
//
// and, of a Coordinator,
//
//	enqueue QUEUE E         ok
//	dequeue QUEUE           value E | none
//	acquire LOCK HOLDER     acquired TOKEN | held
//	release LOCK HOLDER     ok | not held
//
// and those about numbers, see answerNumbers.
//
// A request that is none of these, or that a node declines, is answered by
// Refused or Moved; one that went wrong half-way by "failed", and the reason.
func Answer(store Store, request []string) string {
	verb, words := request[0], request[1:]
	if reply, known := answerNumbers(store, verb, words); known {
		return reply
	}
	arity, known := arities[verb]
	coordinator, coordinates := store.(Coordinator)
	if isCoordination(verb) {
		known = coordinates
	}
	switch {
	case !known:
		return Refused("unknown verb " + strconv.Quote(verb))
	case len(words) != arity:
		return Refused(verb + " takes " + strconv.Itoa(arity) + " words")
	}
	var key string
	if verb != "add" && verb != "elements" {
		if key, words = words[0], words[1:]; !ValidWord(key) {
			return Refused("bad key " + strconv.Quote(key))
		}
	}
	numbers, err := Numbers(words)
	if err != nil {
		return Refused(err.Error())
	}

	switch verb {
	case "get":
		if value, found := store.Get(key); found {
			return "value " + strconv.FormatInt(value, 10)
		}
		return "none"
	case "set":
		return done(store.Set(key, numbers[0]))
	case "cas":
		saw, err := store.CompareAndSet(key, numbers[0], numbers[1])
		switch {
		case err != nil || saw == nil:
			return done(err)
		case saw.Found:
			return "saw " + strconv.FormatInt(saw.Value, 10)
		}
		return "saw none"
	case "add":
		return done(store.Add(numbers[0]))
	case "enqueue":
		return done(coordinator.Enqueue(key, numbers[0]))
	case "dequeue":
		element, found, err := coordinator.Dequeue(key)
		return either(found, "value "+strconv.FormatInt(element, 10), "none", err)
	case "acquire":
		token, acquired, err := coordinator.Acquire(key, numbers[0])
		return either(acquired, "acquired "+strconv.FormatInt(token, 10), "held", err)
	case "release":
		released, err := coordinator.Release(key, numbers[0])
		return either(released, "ok", "not held", err)
	}
	reply := []byte("elements")
	for _, element := range store.Elements() {
		reply = strconv.AppendInt(append(reply, ' '), element, 10)
	}
	return string(reply)
}

// arities are how many words follow each verb.
var arities = map[string]int{
	"get": 1, "set": 2, "cas": 3, "add": 1, "elements": 0,
	"enqueue": 2, "dequeue": 1, "acquire": 2, "release": 2,
}

func isCoordination(verb string) bool {
	return verb == "enqueue" || verb == "dequeue" || verb == "acquire" || verb == "release"
}

func done(err error) string { return either(true, "ok", "", err) }

func either(condition bool, yes, no string, err error) string {
	switch {
	case err != nil:
		return "failed " + oneLine(err.Error())
	case condition:
		return yes
	}
	return no
}

// Refused is the reply to a request that was not and will not be carried out.
func Refused(reason string) string { return "refused " + oneLine(reason) }

// Moved is Refused, with the node to ask instead.
func Moved(node string) string { return "moved " + node }

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// ValidWord reports whether a word can stand in a request: 1 to 128 visible
// ASCII characters.
func ValidWord(word string) bool {
	invisible := func(r rune) bool { return r <= ' ' || r > '~' }
	return 0 < len(word) && len(word) <= 128 && !strings.ContainsFunc(word, invisible)
}

// Numbers reads every word as an integer.
func Numbers(words []string) ([]int64, error) {
	numbers := make([]int64, len(words))
	for i, word := range words {
		number, err := strconv.ParseInt(word, 10, 64)
		if err != nil {
			return nil, err
		}
		numbers[i] = number
	}
	return numbers, nil
}
