package raftredis

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/go-hclog"
	hraft "github.com/hashicorp/raft"
)

// A machine is the replicated state machine. It implements hraft.FSM.
//
// Nothing is synced to the disk, since the log is: whatever the end of the process
// or the machine takes away, what remains is the state as of an earlier entry,
// which it names. When the node comes back, raft gives the machine its last
// snapshot, which it takes only if that is ahead of it, and then the entries after
// the snapshot, of which it skips those that it has already.
type machine struct {
	mu      sync.RWMutex // held for writing while the state changes
	db      *pebble.DB
	applied uint64 // the index of the last entry that made the state
	torn    bool   // a snapshot was not restored whole
}

var errTorn = errors.New("the state is torn: a snapshot was not restored whole")

var appliedKey = []byte{appliedByte}

func openMachine(fs vfs.FS, directory string, logger hclog.Logger) (*machine, error) {
	db, err := pebble.Open(directory, &pebble.Options{FS: fs, FormatMajorVersion: pebble.FormatNewest, Logger: pebbleLogger{logger}})
	if err != nil {
		return nil, fmt.Errorf("open state in %s: %w", directory, err)
	}
	m := &machine{db: db}
	bytes, found, err := (&transaction{state: db}).get(appliedKey)
	if err == nil && found {
		m.applied, err = index(bytes)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open state in %s: %w", directory, err), db.Close())
	}
	return m, nil
}

// Close must not be called while the machine is in use.
func (m *machine) Close() error { return m.db.Close() }

func index(bytes []byte) (uint64, error) {
	if len(bytes) != 8 {
		return 0, fmt.Errorf("no index: %.100q", bytes)
	}
	return binary.BigEndian.Uint64(bytes), nil
}

// entry is a request in the log.
func entry(now time.Time, request []string) []byte {
	return encode(append([]string{strconv.FormatInt(now.UnixMilli(), 10)}, request...)...)
}

// Apply returns the reply, which is a []byte. A replica that cannot carry out what
// others may have carried out must not go on, and panics.
func (m *machine) Apply(log *hraft.Log) any {
	m.mu.Lock()
	defer m.mu.Unlock()
	if log.Index <= m.applied {
		return []byte(nil) // it was applied, and answered, in an earlier life
	}
	if m.torn {
		panic(errTorn)
	}
	words, _, err := cut(log.Data)
	if err != nil || len(words) < 2 {
		panic(fmt.Sprintf("entry %d is no request: %.100q", log.Index, log.Data))
	}
	now, err := strconv.ParseInt(words[0], 10, 64)
	if err != nil {
		panic(fmt.Sprintf("entry %d has no time: %v", log.Index, err))
	}
	changes := m.db.NewBatch()
	reply, err := m.run(&transaction{state: m.db, changes: changes, now: now}, words[1:])
	var refused refusal
	if errors.As(err, &refused) {
		reply, err = refuse(refused), nil
	}
	if err == nil {
		err = changes.Set(appliedKey, binary.BigEndian.AppendUint64(nil, log.Index), nil)
	}
	if err == nil {
		err = changes.Commit(pebble.NoSync)
	}
	if err != nil {
		panic(fmt.Sprintf("entry %d is not applied: %v", log.Index, err))
	}
	m.applied = log.Index
	return reply
}

func (m *machine) run(t *transaction, request []string) ([]byte, error) {
	command, err := lookup(request)
	if err != nil {
		return nil, err
	}
	return command.run(t, request[1:])
}

// read carries out a request that changes nothing. Besides what commands return,
// its error may be errMayExpire.
func (m *machine) read(request []string) ([]byte, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.torn {
		return nil, errTorn
	}
	return m.run(&transaction{state: m.db}, request)
}

// Snapshot takes hold of the state as it is now.
func (m *machine) Snapshot() (hraft.FSMSnapshot, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return snapshot{m.db.NewSnapshot()}, nil
}

// A snapshot is a state on its way to disk: all of its keys and values in order,
// each of the two after its length, a varint. The first key is that of the last
// entry's index.
type snapshot struct{ state *pebble.Snapshot }

func (s snapshot) Release() { s.state.Close() }

func (s snapshot) Persist(sink hraft.SnapshotSink) error {
	if err := s.write(sink); err != nil {
		return errors.Join(fmt.Errorf("write snapshot: %w", err), sink.Cancel())
	}
	return sink.Close()
}

func (s snapshot) write(to io.Writer) error {
	iterator, err := s.state.NewIter(nil)
	if err != nil {
		return err
	}
	buffer := bufio.NewWriter(to)
	for iterator.First(); iterator.Valid(); iterator.Next() {
		value, err := iterator.ValueAndErr()
		if err != nil {
			return errors.Join(err, iterator.Close())
		}
		for _, part := range [][]byte{iterator.Key(), value} {
			buffer.Write(binary.AppendUvarint(nil, uint64(len(part))))
			buffer.Write(part)
		}
	}
	return errors.Join(iterator.Close(), buffer.Flush())
}

// maxPart bounds each key and value of a snapshot, and chunk what is restored at a
// time.
const (
	maxPart = 2 * maxRequest
	chunk   = 1 << 20
)

// Restore replaces the state by a snapshot's, unless the state has all of that
// already. It is not the old state any more as soon as the first key has been read,
// and after an error then of no use at all.
func (m *machine) Restore(from io.ReadCloser) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.restore(bufio.NewReader(from)); err != nil {
		return fmt.Errorf("restore snapshot: %w", err)
	}
	return nil
}

func (m *machine) restore(from *bufio.Reader) error {
	key, bytes, err := pair(from)
	if errors.Is(err, io.EOF) {
		return nil // of before the first command
	}
	if err == nil && string(key) != string(appliedKey) {
		err = fmt.Errorf("it begins with %.100q", key)
	}
	if err != nil {
		return err
	}
	applied, err := index(bytes)
	if err != nil || applied <= m.applied {
		return err
	}

	// The index goes first and comes back last, so that a state in between is one
	// that every snapshot is ahead of.
	m.torn, m.applied = true, 0
	changes := m.db.NewBatch()
	if err := changes.DeleteRange([]byte{appliedByte}, []byte{lastByte}, nil); err != nil {
		return err
	}
	for {
		key, value, err := pair(from)
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil && key[0] != elementByte && key[0] != keyByte {
			err = fmt.Errorf("unknown key %.100q", key)
		}
		if err == nil {
			err = changes.Set(key, value, nil)
		}
		if err == nil && changes.Len() > chunk {
			err = changes.Commit(pebble.NoSync)
			changes = m.db.NewBatch()
		}
		if err != nil {
			return err
		}
	}
	if err := changes.Set(appliedKey, bytes, nil); err != nil {
		return err
	}
	if err := changes.Commit(pebble.NoSync); err != nil {
		return err
	}
	m.torn, m.applied = false, applied
	return nil
}

// pair reads a key and its value. After the last its error is io.EOF.
func pair(from *bufio.Reader) (key, value []byte, err error) {
	if _, err := from.Peek(1); err != nil {
		return nil, nil, err
	}
	if key, err = part(from); err == nil {
		value, err = part(from)
	}
	switch {
	case errors.Is(err, io.EOF):
		err = io.ErrUnexpectedEOF
	case err == nil && len(key) == 0:
		err = errors.New("an empty key")
	}
	return key, value, err
}

func part(from *bufio.Reader) ([]byte, error) {
	length, err := binary.ReadUvarint(from)
	if err != nil {
		return nil, err
	}
	if length > maxPart {
		return nil, fmt.Errorf("%d bytes are too many for a key or value", length)
	}
	bytes := make([]byte, length)
	_, err = io.ReadFull(from, bytes)
	return bytes, err
}

// A pebbleLogger is told what goes wrong, and not the rest, which is much.
type pebbleLogger struct{ hclog.Logger }

func (l pebbleLogger) Infof(string, ...any) {}

func (l pebbleLogger) Errorf(format string, args ...any) {
	l.Error(fmt.Sprintf(format, args...))
}

func (l pebbleLogger) Fatalf(format string, args ...any) {
	l.Errorf(format, args...)
	os.Exit(1)
}
