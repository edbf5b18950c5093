package node

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// syncEvery is how long an appended line may wait for its fsync. As with Redis's
// "appendfsync everysec", a killed process loses nothing that it has appended, a
// machine without power the lines of the last interval.
const syncEvery = 100 * time.Millisecond

// maxLines is how many lines a Log takes before it asks to be replaced by what
// they amount to.
const maxLines = 100_000

// A Log is an append-only file of lines. Its methods may be called concurrently.
// After a failed write or fsync nobody knows what the file holds, so every later
// call fails with the same error.
type Log struct {
	path    string
	stop    chan struct{}
	stopped sync.WaitGroup

	mu    sync.Mutex
	file  *os.File
	lines int
	limit int // of lines
	dirty bool
	err   error
}

// OpenLog opens or creates the file and calls load with each of its lines. A
// last line that was cut off by a crash is removed, and load is not told.
func OpenLog(path string, load func(text string) error) (*Log, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	l := &Log{path: path, file: file, limit: maxLines, stop: make(chan struct{})}
	if err := l.load(load); err != nil {
		file.Close()
		return nil, fmt.Errorf("%s: line %d: %w", path, l.lines+1, err)
	}
	l.stopped.Go(l.syncNowAndThen)
	return l, nil
}

func (l *Log) load(load func(string) error) error {
	var whole int64
	for reader := bufio.NewReader(l.file); ; l.lines++ {
		text, err := reader.ReadString('\n')
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if err := load(text[:len(text)-1]); err != nil {
			return err
		}
		whole += int64(len(text))
	}
	if err := l.file.Truncate(whole); err != nil {
		return err
	}
	_, err := l.file.Seek(whole, io.SeekStart)
	return err
}

// Append hands a line, without its newline, to the operating system.
func (l *Log) Append(text string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		_, l.err = l.file.WriteString(text + "\n")
	}
	l.lines++
	l.dirty = true
	return l.err
}

// Full reports whether Replace is due.
func (l *Log) Full() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lines > l.limit
}

// Replace puts other lines in the place of all that are there, at once and
// durably.
func (l *Log) Replace(lines iter.Seq[string]) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return l.err
	}
	l.file.Close()
	l.file, l.lines, l.err = replace(l.path, lines)
	l.limit = max(maxLines, 2*l.lines) // if they amount to many, do not ask at every line
	return l.err
}

// WriteFile durably and at once replaces a file by one of a single line.
func WriteFile(path, text string) error {
	file, _, err := replace(path, func(yield func(string) bool) { yield(text) })
	if err != nil {
		return err
	}
	return file.Close()
}

func replace(path string, lines iter.Seq[string]) (file *os.File, count int, err error) {
	if file, err = os.Create(path + ".new"); err != nil {
		return nil, 0, err
	}
	writer := bufio.NewWriter(file)
	for text := range lines {
		writer.WriteString(text + "\n")
		count++
	}
	err = errors.Join(writer.Flush(), file.Sync())
	if err == nil { // else the old file stays, which is whole
		err = os.Rename(file.Name(), path)
	}
	if err == nil {
		err = syncDirectory(path)
	}
	if err != nil {
		file.Close()
		return nil, 0, err
	}
	return file, count, nil
}

// syncDirectory makes the renaming of a file durable.
func syncDirectory(path string) error {
	directory, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(directory.Sync(), directory.Close())
}

func (l *Log) syncNowAndThen() {
	tick := time.NewTicker(syncEvery)
	defer tick.Stop()
	for {
		select {
		case <-l.stop:
			return
		case <-tick.C:
			l.sync()
		}
	}
}

// sync does not keep appends waiting for the disk.
func (l *Log) sync() {
	l.mu.Lock()
	file, dirty := l.file, l.dirty
	l.dirty = false
	l.mu.Unlock()
	if !dirty {
		return
	}
	err := file.Sync()
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil && l.file == file && l.err == nil { // else it was replaced meanwhile
		l.err = err
	}
}

// Close syncs what is left.
func (l *Log) Close() error {
	close(l.stop)
	l.stopped.Wait()
	l.sync()
	if l.file == nil {
		return l.err
	}
	return errors.Join(l.err, l.file.Close())
}
