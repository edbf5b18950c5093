package history

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

const benchWorkers = 64

// BenchmarkRecorder measures one operation, invocation and completion, of 64
// workers that do nothing else; until all is on disk.
func BenchmarkRecorder(b *testing.B) { benchmarkRecorder(b, nil) }

// BenchmarkRecorderObserved is the same with an observer that does nothing.
func BenchmarkRecorderObserved(b *testing.B) { benchmarkRecorder(b, nobody{}) }

type nobody struct{}

func (nobody) Invoke(*Operation)   {}
func (nobody) Complete(*Operation) {}

func benchmarkRecorder(b *testing.B, observer Observer) {
	b.ReportAllocs()
	recorder, err := NewRecorder(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	recorder.Observe(observer)
	inParallel(b, func(process, operations int) {
		lane := recorder.Lane()
		seen := []int64{0}
		op := Operation{Process: process, Node: "n1", Kind: Read, Key: "k12", Output: Ints(seen...)}
		for i := range operations {
			seen[0] = int64(i)
			op.Outcome = OK
			lane.Invoke(&op)
			lane.Complete(&op)
		}
	})
	if err := recorder.Close(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkNaive does the same with one mutex and encoding/json.
func BenchmarkNaive(b *testing.B) {
	b.ReportAllocs()
	file, err := os.Create(filepath.Join(b.TempDir(), HistoryFile))
	if err != nil {
		b.Fatal(err)
	}
	defer file.Close()
	var mu sync.Mutex
	base, encoder := time.Now(), json.NewEncoder(file)
	inParallel(b, func(process, operations int) {
		seen := []int64{0}
		op := Operation{Process: process, Node: "n1", Kind: Read, Key: "k12", Output: Ints(seen...)}
		write := func(stamp *time.Duration) {
			mu.Lock()
			defer mu.Unlock()
			*stamp = time.Since(base)
			if err := encoder.Encode(&op); err != nil {
				b.Error(err)
			}
		}
		for i := range operations {
			seen[0] = int64(i)
			op.Outcome = OK
			write(&op.Invoke)
			write(&op.Complete)
		}
	})
}

func inParallel(b *testing.B, work func(process, operations int)) {
	var workers sync.WaitGroup
	for process := range benchWorkers {
		workers.Go(func() { work(process, (b.N+process)/benchWorkers) })
	}
	workers.Wait()
}

func BenchmarkReadHistory(b *testing.B) {
	op := Operation{Process: 1, Node: "n1", Kind: Read, Key: "k12", Outcome: OK, Output: Ints(4711)}
	var h History
	for i := range 10_000 {
		op.Invoke, op.Complete = time.Duration(2*i), time.Duration(2*i+1)
		h.Operations = append(h.Operations, op)
	}
	var text bytes.Buffer
	if err := WriteHistory(&text, h); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(text.Len()))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ReadHistory(bytes.NewReader(text.Bytes())); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N*2*len(h.Operations))/b.Elapsed().Seconds(), "lines/s")
}
