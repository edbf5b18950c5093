package raftredis

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"
	hraft "github.com/hashicorp/raft"
	"pgregory.net/rapid"

	"github.com/rashomon-io/rashomon/targets/redis"
)

type fatal interface {
	Helper()
	Fatal(...any)
	Cleanup(func())
}

// open opens a machine until the test ends.
func open(t fatal, fs vfs.FS) *machine {
	t.Helper()
	m, err := openMachine(fs, "state", hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// dump is the machine's snapshot.
func dump(t fatal, m *machine) string {
	t.Helper()
	taken, err := m.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Release()
	var text sink
	if err := taken.Persist(&text); err != nil {
		t.Fatal(err)
	}
	return text.String()
}

type sink struct{ bytes.Buffer }

func (*sink) ID() string    { return "" }
func (*sink) Cancel() error { return nil }
func (*sink) Close() error  { return nil }

func restore(m *machine, snapshot string) error {
	return m.Restore(io.NopCloser(strings.NewReader(snapshot)))
}

// generateRequest draws a request that Redis and the machine both understand.
func generateRequest(prefix string) *rapid.Generator[[]string] {
	return rapid.Custom(func(t *rapid.T) []string {
		key := prefix + rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "key")
		value := rapid.SampledFrom([]string{"1", "-2", "", "x", "+5", "007", "9223372036854775807", "-9223372036854775808", "\x00\r\n\xff"})
		switch rapid.IntRange(0, 11).Draw(t, "command") {
		case 0:
			return []string{"get", key}
		case 1:
			return []string{"SET", key, value.Draw(t, "value")}
		case 2:
			return []string{"SET", key, value.Draw(t, "value"), "NX"}
		case 3:
			return []string{"SET", key, value.Draw(t, "value"), "PX", rapid.SampledFrom([]string{"100000", "0", "-1", "x"}).Draw(t, "lifetime"), "nx"}
		case 4:
			return []string{"SET", key, value.Draw(t, "value"), "PX"}
		case 5:
			return []string{"INCRBY", key, value.Draw(t, "delta")}
		case 6:
			return []string{"SADD", key, value.Draw(t, "member")}
		case 7:
			return []string{"SMEMBERS", key}
		case 8:
			return []string{"RPUSH", key, value.Draw(t, "element")}
		case 9:
			return []string{"LPOP", key}
		case 10:
			return []string{"EVAL", redis.CompareAndSet, "1", key, value.Draw(t, "old"), value.Draw(t, "new")}
		default:
			return []string{"EVAL", redis.DeleteIfMine, "1", key, value.Draw(t, "mine")}
		}
	})
}

// A machine that comes back from a crash, with whatever had reached its disk, and
// is given a snapshot, of any age, and then the log, is as if nothing had happened.
func TestCrash(t *testing.T) {
	lost, skipped, restored := 0, 0, 0
	rapid.Check(t, func(t *rapid.T) {
		var log []*hraft.Log
		now := time.UnixMilli(1e12)
		requests := rapid.SliceOfN(generateRequest(""), 1, 60).Draw(t, "requests")
		for i, request := range requests {
			now = now.Add(time.Duration(rapid.IntRange(-50_000, 50_000).Draw(t, "pause")) * time.Millisecond)
			log = append(log, &hraft.Log{Index: uint64(2*i + 3), Data: entry(now, request)}) // raft's own have indexes, too
		}
		crash := rapid.IntRange(0, len(log)).Draw(t, "crash")
		atSnapshot := rapid.IntRange(0, crash).Draw(t, "snapshot")

		fs := vfs.NewCrashableMem()
		before, snapshot := open(t, fs), ""
		var replies []any
		for i, entry := range log[:crash] {
			if i == atSnapshot {
				snapshot = dump(t, before)
			}
			if rapid.IntRange(0, 9).Draw(t, "flush") == 0 {
				if err := before.db.Flush(); err != nil {
					t.Fatal(err)
				}
			}
			replies = append(replies, before.Apply(entry))
		}
		if atSnapshot == crash {
			snapshot = dump(t, before)
		}
		disk := fs.CrashClone(vfs.CrashCloneCfg{
			UnsyncedDataPercent: rapid.SampledFrom([]int{0, 50, 100}).Draw(t, "survives"),
			RNG:                 rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0)),
		})

		after := open(t, disk)
		if after.applied < before.applied {
			lost++
		}
		if err := restore(after, snapshot); err != nil {
			t.Fatal(err)
		}
		if atSnapshot > 0 && after.applied == log[atSnapshot-1].Index {
			restored++
		}
		for i, entry := range log[atSnapshot:] {
			reply := after.Apply(entry).([]byte)
			if i += atSnapshot; i >= len(replies) {
				continue
			}
			if reply == nil {
				skipped++
			} else if diff := cmp.Diff(replies[i], reply); diff != "" {
				t.Errorf("%q again: %s", requests[i], diff)
			}
		}

		whole := open(t, vfs.NewMem())
		for _, entry := range log {
			whole.Apply(entry)
		}
		if diff := cmp.Diff(dump(t, whole), dump(t, after)); diff != "" {
			t.Error(diff)
		}
	})
	if lost == 0 || skipped == 0 || restored == 0 {
		t.Errorf("%d crashes lost something, %d entries were skipped, %d snapshots restored: want some of each", lost, skipped, restored)
	}
}

// A snapshot of many chunks replaces what is there; one that is behind does not.
func TestRestore(t *testing.T) {
	const many = 3000
	large := open(t, vfs.NewMem())
	for i := range many {
		large.Apply(&hraft.Log{Index: uint64(i + 1), Data: entry(time.Now(), []string{"RPUSH", "k", strings.Repeat("x", 1000) + fmt.Sprint(i)})})
	}
	small := open(t, vfs.NewMem())
	small.Apply(&hraft.Log{Index: 1, Data: entry(time.Now(), []string{"SET", "forgotten", "1"})})
	behind := dump(t, small)
	if err := restore(small, dump(t, large)); err != nil {
		t.Fatal(err)
	}
	if err := restore(small, behind); err != nil {
		t.Fatal(err)
	}
	if small.applied != many || dump(t, small) != dump(t, large) {
		t.Errorf("restored up to entry %d of %d, or differently", small.applied, many)
	}
}

// nextLife is the machine after a crash that lost nothing.
func nextLife(t fatal, m *machine, fs *vfs.MemFS) *machine {
	t.Helper()
	if err := m.db.Flush(); err != nil {
		t.Fatal(err)
	}
	return open(t, fs.CrashClone(vfs.CrashCloneCfg{}))
}

// What a machine has applied it does not apply again, in this life or the next.
func TestAppliedOnce(t *testing.T) {
	fs := vfs.NewCrashableMem()
	m := open(t, fs)
	push := func(index uint64) string {
		reply, _ := m.Apply(&hraft.Log{Index: index, Data: entry(time.Now(), []string{"RPUSH", "k", "x"})}).([]byte)
		return string(reply)
	}
	for _, step := range []struct {
		index uint64
		want  string
	}{{5, ":1\r\n"}, {5, ""}, {8, ":2\r\n"}, {0, "next life"}, {5, ""}, {8, ""}, {9, ":3\r\n"}} {
		if step.index == 0 {
			m = nextLife(t, m, fs)
			continue
		}
		if got := push(step.index); got != step.want {
			t.Errorf("entry %d: %q, want %q", step.index, got, step.want)
		}
	}
}

// A snapshot that ends too early leaves a machine that answers nothing, until the
// node is started again and given a whole one.
func TestTorn(t *testing.T) {
	large := open(t, vfs.NewMem())
	for i := range 3000 {
		large.Apply(&hraft.Log{Index: uint64(i + 2), Data: entry(time.Now(), []string{"RPUSH", "k", strings.Repeat("x", 1000)})})
	}
	whole := dump(t, large)
	fs := vfs.NewCrashableMem()
	m := open(t, fs)
	first := &hraft.Log{Index: 1, Data: entry(time.Now(), []string{"SET", "k", "1"})}
	m.Apply(first)
	if err := restore(m, whole[:len(whole)/2]); err == nil {
		t.Error("half a snapshot was restored")
	}
	if _, err := m.read([]string{"GET", "k"}); err != errTorn {
		t.Errorf("read of a torn state: %v", err)
	}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("an entry was applied to a torn state")
			}
		}()
		m.Apply(&hraft.Log{Index: 4000, Data: first.Data})
	}()
	m = nextLife(t, m, fs)
	if m.applied != 0 {
		t.Errorf("the torn state claims to be that of entry %d", m.applied)
	}
	if err := restore(m, whole); err != nil || dump(t, m) != whole {
		t.Errorf("not restored: %v", err)
	}
}

// FuzzRestore holds arbitrary files against what must remain: a state that is as it
// was, or the file's, or is known to be torn.
func FuzzRestore(f *testing.F) {
	m := open(f, vfs.NewMem())
	empty := dump(f, m)
	m.Apply(&hraft.Log{Index: 7, Data: entry(time.Now(), []string{"SADD", "k", "1"})})
	whole := dump(f, m)
	for _, seed := range []string{empty, whole, whole[:len(whole)-1], whole[:12], "garbage", whole + "\x00\x00", whole + "\x01z\x00", "\x01a\x08\x00\x00\x00\x00\x00\x00\x00\x09\xff\xff\xff\xff\xff\xff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, file string) {
		m := open(t, vfs.NewMem())
		old := dump(t, m)
		err := restore(m, file)
		switch got := dump(t, m); {
		case err == nil && m.torn, err != nil && !m.torn && got != old:
			t.Errorf("%v, torn: %v, state: %q", err, m.torn, got)
		case err != nil && strings.Contains(err.Error(), "\n"):
			t.Errorf("%q is more than a line", err)
		case m.torn:
			if _, err := m.read([]string{"GET", "k"}); err == nil {
				t.Error("a read of a torn state")
			}
		}
	})
}

// Whoever applies an entry, and whenever, a key expires at one place in the log,
// also if the next leader's clock is behind.
func TestExpiry(t *testing.T) {
	m := open(t, vfs.NewMem())
	start, index := time.UnixMilli(1e12), uint64(0)
	for _, step := range []struct {
		after   time.Duration
		request string
		want    string
	}{
		{0, "SET lock a NX PX 100", "+OK\r\n"},
		{99 * time.Millisecond, "SET lock b NX PX 100", "$-1\r\n"},
		{99 * time.Millisecond, "GET lock", "$1\r\na\r\n"},
		{100 * time.Millisecond, "GET lock", "$-1\r\n"},
		{0, "GET lock", "$-1\r\n"},
		{0, "SET lock b NX PX 100", "+OK\r\n"},
		{50 * time.Millisecond, "INCRBY lock 1", "-ERR value is not an integer or out of range\r\n"},
		{200 * time.Millisecond, "INCRBY lock 1", ":1\r\n"},
		{time.Hour, "GET lock", "$1\r\n1\r\n"},
		{0, "SET counter 1 PX 100", "+OK\r\n"},
		{50 * time.Millisecond, "INCRBY counter 1", ":2\r\n"},
		{100 * time.Millisecond, "GET counter", "$-1\r\n"},
		{0, "SET lock b PX 100", "+OK\r\n"},
		{100 * time.Millisecond, "RPUSH lock 1", ":1\r\n"},
	} {
		index++
		reply := m.Apply(&hraft.Log{Index: index, Data: entry(start.Add(step.after), strings.Fields(step.request))})
		if diff := cmp.Diff(step.want, string(reply.([]byte))); diff != "" {
			t.Errorf("%s after %v: %s", step.request, step.after, diff)
		}
	}
}

func TestReadThatNeedsTheLog(t *testing.T) {
	m := open(t, vfs.NewMem())
	m.Apply(&hraft.Log{Index: 1, Data: entry(time.Now(), []string{"SET", "lock", "a", "PX", "100"})})
	if _, err := m.read([]string{"GET", "lock"}); err != errMayExpire {
		t.Errorf("read of a key that may expire: %v", err)
	}
	m.Apply(&hraft.Log{Index: 2, Data: entry(time.Now(), []string{"EVAL", redis.CompareAndSet, "1", "lock", "a", "b"})})
	if reply, err := m.read([]string{"GET", "lock"}); string(reply) != "$1\r\nb\r\n" || err != nil {
		t.Errorf("a script's SET, too, makes a key stay: %q, %v", reply, err)
	}
}

func FuzzDecode(f *testing.F) {
	for _, r := range []record{{kind: text, value: "x", expires: 5}, {kind: list, first: 1, next: 2}, {kind: set}} {
		f.Add(r.encode())
	}
	f.Fuzz(func(t *testing.T, bytes []byte) {
		r, err := decode(bytes)
		if err == nil && string(r.encode()) != string(bytes) {
			t.Errorf("%+v of %q is encoded as %q", r, bytes, r.encode())
		}
	})
}

func TestAfterAll(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 1000 {
		prefix := []byte{elementByte}
		for range random.IntN(4) {
			prefix = append(prefix, []byte{0, 1, 254, 255}[random.IntN(4)])
		}
		end := string(afterAll(prefix))
		if string(prefix)+"\xff\xff\xff\xff" >= end || strings.HasPrefix(end, string(prefix)) {
			t.Errorf("%q does not follow just all that begins with %q", end, prefix)
		}
	}
}
