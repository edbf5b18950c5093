package harness

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rashomon-io/rashomon/harness/history"
)

// atomicString is a string that one goroutine sets and others read.
type atomicString[S ~string] struct{ pointer atomic.Pointer[S] }

func (a *atomicString[S]) Store(s S) { a.pointer.Store(&s) }

func (a *atomicString[S]) Load() S {
	if s := a.pointer.Load(); s != nil {
		return *s
	}
	return ""
}

// oneByOne lets several goroutines write to what takes one at a time.
type oneByOne struct {
	mu sync.Mutex
	to io.Writer
}

func (o *oneByOne) Write(text []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.to.Write(text)
}

// note keeps the latest fault for progress.
func (l *load) note(event history.Event) {
	switch event.Type {
	case history.Inject:
		victims := strings.Join(event.Nodes, " ")
		l.activity.Store(strings.TrimSpace(fmt.Sprintf("%s %s %s", event.Family, event.Shape, victims)))
	case history.Heal:
		l.activity.Store("")
	}
}

// tellProgress tells how the trial goes until the returned function is called.
func (r *run) tellProgress() (stop func()) {
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(progressEvery)
		defer ticker.Stop()
		var before int64
		for {
			select {
			case <-ticker.C:
			case <-end:
				return
			}
			l := r.load
			all := l.counts.all()
			line := fmt.Sprintf("%5.1f s  %-8s  %d operations (%.0f/s), %d failed, %d unknown",
				r.recorder.Now().Seconds(), l.phase.Load(), all, float64(all-before)/progressEvery.Seconds(),
				l.counts.failed.Load(), l.counts.unknown.Load())
			if fault := l.activity.Load(); fault != "" {
				line += "  ⚡ " + fault
			}
			r.tell("%s", line)
			before = all
		}
	}()
	return func() { close(end); <-ended }
}
