//go:build unix

package checker

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/rashomon-io/rashomon/harness/history"
)

// A feed is what clients of linearizable registers tell, made on the fly.
type feed struct {
	random  *rand.Rand
	now     time.Duration
	next    int64
	cells   []cell
	clients []client
}

type cell struct {
	key  string
	held []int64 // nothing or one
	// stale was overwritten by what had been acknowledged at gone.
	stale int64
	gone  time.Duration
}

type client struct {
	history.Operation
	cell     *cell
	stage    int // idle, invoked, taken effect
	in, out  [2]int64
	replaced int64
}

func newFeed(clients, keys int) *feed {
	f := &feed{random: rand.New(rand.NewPCG(1, 2)), cells: make([]cell, keys), clients: make([]client, clients)}
	for i := range f.cells {
		f.cells[i].key = "k" + strconv.Itoa(i)
	}
	for i := range f.clients {
		f.clients[i].Process = i
	}
	return f
}

// operation lets some client do something, until one has completed, and tells of it.
func (f *feed) operation(s history.Observer) {
	for {
		f.now++
		c := &f.clients[f.random.IntN(len(f.clients))]
		switch c.stage {
		case 0:
			f.invoke(c)
			s.Invoke(&c.Operation)
		case 1:
			f.takeEffect(c)
		default:
			c.Complete = f.now
			if f.random.IntN(10_000) == 0 {
				c.Outcome, c.Output = history.Info, history.Value{}
			}
			s.Complete(&c.Operation)
			if c.Outcome == history.OK && c.Kind == history.Write {
				c.cell.stale, c.cell.gone = c.replaced, f.now
			}
			if c.Outcome == history.Info {
				c.Process += len(f.clients)
			}
			c.stage = 0
			return
		}
		c.stage++
	}
}

func (f *feed) invoke(c *client) {
	c.cell = &f.cells[f.random.IntN(len(f.cells))]
	c.Key, c.Invoke, c.Outcome, c.Output = c.cell.key, f.now, history.OK, history.Value{}
	f.next++
	switch draw := f.random.IntN(100); {
	case draw < 50:
		c.Kind, c.Input = history.Read, history.Value{}
	case draw < 65 && c.cell.held != nil:
		c.in = [2]int64{c.cell.held[0], f.next}
		c.Kind, c.Input = history.CompareAndSet, history.Ints(c.in[:]...)
	default:
		c.in[0] = f.next
		c.Kind, c.Input = history.Write, history.Ints(c.in[:1]...)
	}
}

func (f *feed) takeEffect(c *client) {
	held := c.cell.held
	switch {
	case c.Kind == history.Read || c.Kind == history.CompareAndSet && held[0] != c.Input.At(0):
		if held != nil {
			c.out[0] = held[0]
			c.Output = history.Ints(c.out[:1]...)
		}
		if c.Kind == history.CompareAndSet {
			c.Outcome = history.Fail
		}
	case held == nil:
		c.cell.held = []int64{c.in[0]}
	default:
		c.replaced = held[0]
		held[0] = c.Input.At(c.Input.Len() - 1)
	}
}

// BenchmarkStream tells a stream of 20 clients' operations on 50 registers, made
// on the fly, at the end of which a client reads stale values. Run it on one core:
//
//	go test ./checker -run - -bench Stream -benchtime 30000000x -cpu 1
//
// resident-MB is the greatest growth of the memory that the runtime has from the
// system, feed included; lag-operations how many operations completed between
// the first stale read and the alarm; operations/cpu-s counts seconds of the
// processor, feed and garbage collection included, as the machine may be busy.
func BenchmarkStream(b *testing.B) {
	const clients, keys, sample = 20, 50, 100_000
	runtime.GC()
	before, peak := residentBytes(), uint64(0)
	f, s := newFeed(clients, keys), NewStream()
	b.ReportAllocs()
	b.ResetTimer()
	began := processorTime()
	for i := range b.N {
		f.operation(s)
		if i%sample == 0 {
			peak = max(peak, residentBytes())
		}
	}
	b.StopTimer()
	used := processorTime() - began
	if s.Alarm() != nil || s.Off() != "" {
		b.Fatalf("alarm %v, off %q", s.Alarm(), s.Off())
	}
	b.ReportMetric(float64(b.N)/used.Seconds(), "operations/cpu-s")
	b.ReportMetric((float64(max(peak, before))-float64(before))/(1<<20), "resident-MB")
	b.ReportMetric(float64(s.writes), "remembered")
	if lag := f.readStale(s, 10*clients); b.N > sample {
		b.ReportMetric(float64(lag), "lag-operations")
	}
}

// BenchmarkCheckFile reads a recorded history of 20 clients' operations on registers, of
// 5,000 operations each, and checks it. 30,000,000 operations take 5.5 GB on the disk:
//
//	go test ./checker -run - -bench CheckFile -benchtime 30000000x
//
// operations/cpu-s counts seconds of all processors together; resident-MB is the memory
// that the runtime has from the system in the end, the recorder's included.
func BenchmarkCheckFile(b *testing.B) {
	dir := b.TempDir()
	recorder, err := history.NewRecorder(dir)
	if err != nil {
		b.Fatal(err)
	}
	f, lane := newFeed(20, 1+b.N/5000), recorder.Lane()
	for range b.N {
		f.operation(lane)
	}
	if err := recorder.Close(); err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	began := processorTime()
	file, err := os.Open(filepath.Join(dir, history.HistoryFile))
	if err != nil {
		b.Fatal(err)
	}
	defer file.Close()
	run := &history.Run{}
	if run.History, err = history.ReadPacked(file); err != nil {
		b.Fatal(err)
	}
	result := Check(b.Context(), run, Register, Options{Budget: Budget{Time: time.Hour}})
	b.StopTimer()
	if result.Verdict != Valid || run.History.Packed == nil {
		b.Fatalf("%s: %s", result.Verdict, result.Reason)
	}
	b.ReportMetric(float64(b.N)/(processorTime()-began).Seconds(), "operations/cpu-s")
	b.ReportMetric(float64(residentBytes())/(1<<20), "resident-MB")
}

// readStale reads a value whose overwriting has been acknowledged, and returns
// how many operations completed after that before the alarm.
func (f *feed) readStale(s *Stream, limit int) (lag int) {
	var c *cell
	for i := range f.cells {
		if x := &f.cells[i]; x.stale != 0 && (c == nil || x.gone > c.gone) {
			c = x
		}
	}
	if c == nil {
		return limit
	}
	read := history.Operation{Process: -1, Kind: history.Read, Key: c.key, Output: history.Ints(c.stale), Outcome: history.OK}
	f.now++
	read.Invoke = f.now
	s.Invoke(&read)
	f.now++
	read.Complete = f.now
	s.Complete(&read)
	for s.Alarm() == nil && lag < limit {
		f.operation(s)
		lag++
	}
	return lag
}

func residentBytes() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Sys - m.HeapReleased
}
