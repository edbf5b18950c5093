package raftredis

import (
	"math"
	"strconv"
	"strings"

	"github.com/tidwall/redcon"

	"github.com/rashomon-io/rashomon/targets/redis"
)

// A command has between least and most arguments. It runs on each replica, and
// must do the same on each: it depends on its arguments, the entry's time and the
// state alone.
type command struct {
	least, most int
	writes      bool
	// run returns the reply; or a refusal, and then it has changed nothing but taken
	// away what had expired; or what else went wrong, which is the disk.
	run func(t *transaction, arguments []string) (reply []byte, err error)
}

// The commands are those of the client, and do and answer what Redis' own do; but
// that they take no more than the client sends.
//
//	GET KEY
//	SET KEY VALUE [NX] [PX MILLISECONDS]
//	INCRBY KEY NUMBER
//	SADD KEY MEMBER
//	SMEMBERS KEY
//	RPUSH KEY ELEMENT
//	LPOP KEY
//	EVAL SCRIPT 1 KEY ARGUMENT…
var commands = map[string]command{
	"GET":      {1, 1, false, getText},
	"SET":      {2, 5, true, setText},
	"INCRBY":   {2, 2, true, incrementBy},
	"SADD":     {2, 2, true, addMember},
	"SMEMBERS": {1, 1, false, listMembers},
	"RPUSH":    {2, 2, true, push},
	"LPOP":     {1, 1, true, pop},
	"EVAL":     {4, 5, true, evaluate},
}

// scripts are the client's, by their text, with the key as the first argument:
// there is no Lua here.
var scripts = map[string]command{
	redis.CompareAndSet: {3, 3, true, compareAndSet},
	redis.DeleteIfMine:  {2, 2, true, deleteIfMine},
}

// lookup returns what a request asks for, or a refusal.
func lookup(request []string) (command, error) {
	name := request[0]
	found, known := commands[strings.ToUpper(name)]
	if !known {
		return command{}, refusal("ERR unknown command '" + name + "'")
	}
	if arguments := len(request) - 1; arguments < found.least || arguments > found.most {
		return command{}, refusal("ERR wrong number of arguments for '" + strings.ToLower(name) + "' command")
	}
	return found, nil
}

const (
	errSyntax     = refusal("ERR syntax error")
	errNoInteger  = refusal("ERR value is not an integer or out of range")
	errOverflow   = refusal("ERR increment or decrement would overflow")
	errExpireTime = refusal("ERR invalid expire time in 'set' command")
	errNoScript   = refusal("ERR this server has no Lua, but only the scripts of Rashomon's client, which have one key")
)

func getText(t *transaction, arguments []string) ([]byte, error) {
	r, found, err := t.find(arguments[0], text)
	if err != nil || !found {
		return redcon.AppendNull(nil), err
	}
	return redcon.AppendBulkString(nil, r.value), nil
}

func setText(t *transaction, arguments []string) ([]byte, error) {
	key, r := arguments[0], record{kind: text, value: arguments[1]}
	onlyNew, lifetime := false, ""
	for options := arguments[2:]; len(options) > 0; {
		switch option := strings.ToUpper(options[0]); {
		case option == "NX":
			onlyNew, options = true, options[1:]
		case option == "PX" && len(options) > 1:
			lifetime, options = options[1], options[2:]
		default:
			return nil, errSyntax
		}
	}
	if lifetime != "" {
		milliseconds, err := integer(lifetime)
		if err != nil {
			return nil, err
		}
		if milliseconds <= 0 || milliseconds > math.MaxInt64-t.now {
			return nil, errExpireTime
		}
		r.expires = t.now + milliseconds
	}
	old, found, err := t.find(key, 0)
	switch {
	case err != nil:
		return nil, err
	case found && onlyNew:
		return redcon.AppendNull(nil), nil
	case found:
		err = t.remove(key, old)
	}
	if err == nil {
		err = t.put(key, r)
	}
	return redcon.AppendOK(nil), err
}

func incrementBy(t *transaction, arguments []string) ([]byte, error) {
	key := arguments[0]
	delta, err := integer(arguments[1])
	if err != nil {
		return nil, err
	}
	r, found, err := t.find(key, text)
	if err != nil {
		return nil, err
	}
	sum := int64(0)
	if found {
		if sum, err = integer(r.value); err != nil {
			return nil, err
		}
	}
	if delta > 0 && sum > math.MaxInt64-delta || delta < 0 && sum < math.MinInt64-delta {
		return nil, errOverflow
	}
	r.kind, r.value = text, strconv.FormatInt(sum+delta, 10)
	return redcon.AppendInt(nil, sum+delta), t.put(key, r)
}

// integer reads what Redis takes for one: no plus, no leading zero.
func integer(word string) (int64, error) {
	number, err := strconv.ParseInt(word, 10, 64)
	if err != nil || strconv.FormatInt(number, 10) != word {
		return 0, errNoInteger
	}
	return number, nil
}

func addMember(t *transaction, arguments []string) ([]byte, error) {
	key, member := arguments[0], elementKey(arguments[0], arguments[1])
	r, found, err := t.find(key, set)
	if err != nil {
		return nil, err
	}
	if found {
		if _, there, err := t.get(member); there || err != nil {
			return redcon.AppendInt(nil, 0), err
		}
	}
	r.kind = set
	if err := t.put(key, r); err != nil {
		return nil, err
	}
	return redcon.AppendInt(nil, 1), t.changes.Set(member, nil, nil)
}

func listMembers(t *transaction, arguments []string) ([]byte, error) {
	_, found, err := t.find(arguments[0], set)
	if err != nil || !found {
		return redcon.AppendArray(nil, 0), err
	}
	members, err := t.members(arguments[0])
	return encode(members...), err
}

func push(t *transaction, arguments []string) ([]byte, error) {
	key, element := arguments[0], arguments[1]
	r, _, err := t.find(key, list)
	if err != nil {
		return nil, err
	}
	if err := t.changes.Set(elementKey(key, position(r.next)), []byte(element), nil); err != nil {
		return nil, err
	}
	r.kind = list
	r.next++
	return redcon.AppendInt(nil, int64(r.next-r.first)), t.put(key, r)
}

func pop(t *transaction, arguments []string) ([]byte, error) {
	key := arguments[0]
	r, found, err := t.find(key, list)
	if err != nil || !found {
		return redcon.AppendNull(nil), err
	}
	first := elementKey(key, position(r.first))
	element, _, err := t.get(first)
	if err != nil {
		return nil, err
	}
	if r.first++; r.first == r.next {
		return redcon.AppendBulk(nil, element), t.remove(key, r)
	}
	if err := t.changes.Delete(first, nil); err != nil {
		return nil, err
	}
	return redcon.AppendBulk(nil, element), t.put(key, r)
}

func evaluate(t *transaction, arguments []string) ([]byte, error) {
	script, known := scripts[arguments[0]]
	arguments, keys := arguments[2:], arguments[1]
	if !known || keys != "1" || len(arguments) < script.least || len(arguments) > script.most {
		return nil, errNoScript
	}
	return script.run(t, arguments)
}

func compareAndSet(t *transaction, arguments []string) ([]byte, error) {
	key, old, new := arguments[0], arguments[1], arguments[2]
	r, found, err := t.find(key, text)
	switch {
	case err != nil:
		return nil, err
	case !found:
		return redcon.AppendNull(redcon.AppendArray(nil, 1)), nil
	case r.value != old:
		return encode(r.value), nil
	}
	return redcon.AppendBulkString(nil, "swapped"), t.put(key, record{kind: text, value: new})
}

func deleteIfMine(t *transaction, arguments []string) ([]byte, error) {
	key, mine := arguments[0], arguments[1]
	r, found, err := t.find(key, text)
	if err != nil || !found || r.value != mine {
		return redcon.AppendInt(nil, 0), err
	}
	return redcon.AppendInt(nil, 1), t.remove(key, r)
}
