package history

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// What a run directory holds, and the link beside it.
const (
	TrialFile   = "trial.json"    // Manifest
	HistoryFile = "history.jsonl" // History
	NemesisFile = "nemesis.jsonl" // Events
	ResultFile  = "result.json"   // checker.Result
	ReportFile  = "report.html"
	LogsDir     = "logs" // logs/<node>/…
	DataDir     = "data" // data/<node>/…, if the claim was broken, or the load stopped early
	LatestLink  = "latest"
)

// CreateRunDir makes <parent>/<name>-<time> with logs/ in it, and points the
// link <parent>/latest at it. The name's characters that a file system or a
// shell may not like become "-"; if the directory exists already, a number is
// appended. A file system without links is not an error.
func CreateRunDir(parent, name string, now time.Time) (string, error) {
	if err := os.MkdirAll(parent, 0o777); err != nil {
		return "", fmt.Errorf("cannot create a run directory: %w", err)
	}
	base := safeName(name) + "-" + now.Format("20060102T150405")
	dir := filepath.Join(parent, base)
	for n := 2; ; n++ {
		err := os.Mkdir(dir, 0o777)
		if err == nil {
			break
		}
		if !errors.Is(err, fs.ErrExist) || n > 1000 {
			return "", fmt.Errorf("cannot create a run directory: %w", err)
		}
		dir = filepath.Join(parent, fmt.Sprintf("%s-%d", base, n))
	}
	if err := os.Mkdir(filepath.Join(dir, LogsDir), 0o777); err != nil {
		return "", fmt.Errorf("cannot create a run directory: %w", err)
	}
	linkLatest(dir)
	return dir, nil
}

// linkLatest renames a link over the old one, so that there always is one.
func linkLatest(dir string) {
	parent, base := filepath.Split(dir)
	fresh := filepath.Join(parent, "."+LatestLink+"-"+base)
	if os.Symlink(base, fresh) != nil {
		return
	}
	if os.Rename(fresh, filepath.Join(parent, LatestLink)) != nil {
		os.Remove(fresh)
	}
}

// safeName keeps letters, digits and "._-", and at most 100 of them.
func safeName(name string) string {
	var safe strings.Builder
	for _, r := range name {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', r == '.', r == '_':
			safe.WriteRune(r)
		case !strings.HasSuffix(safe.String(), "-"):
			safe.WriteByte('-')
		}
	}
	text := safe.String()
	if text = strings.Trim(text[:min(len(text), 100)], ".-"); text == "" {
		return "run"
	}
	return text
}

// WriteManifest writes trial.json, in the present Version.
func WriteManifest(dir string, m Manifest) error {
	m.Version = Version
	return WriteJSON(filepath.Join(dir, TrialFile), m)
}

// WriteJSON writes value to the file at path, indented. A reader finds the old
// file or the whole new one, also after a crash.
func WriteJSON(path string, value any) (err error) {
	text, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	fresh, err := os.Create(path + ".tmp")
	if err != nil {
		return err
	}
	_, err = fresh.Write(append(text, '\n'))
	if err = errors.Join(err, fresh.Sync(), fresh.Close()); err == nil {
		err = os.Rename(fresh.Name(), path)
	}
	if err != nil {
		os.Remove(fresh.Name())
	}
	return err
}

// ReadRun reads trial.json, history.jsonl and nemesis.jsonl, the last of which
// may be missing. A history that was cut off is no error: see History.Torn.
func ReadRun(dir string) (*Run, error) { return readRun(dir, false) }

// ReadPackedRun reads what ReadRun reads, and the history as ReadPacked does if its file
// is larger than PackAbove.
func ReadPackedRun(dir string) (*Run, error) { return readRun(dir, true) }

func readRun(dir string, pack bool) (*Run, error) {
	run := &Run{Dir: dir}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return nil, fmt.Errorf("%s is not a directory; want a run directory, such as runs/%s", dir, LatestLink)
	}
	err := readFile(dir, TrialFile, func(r *os.File) error {
		return json.NewDecoder(r).Decode(&run.Manifest)
	})
	if version := run.Manifest.Version; err == nil && (version < 1 || version > Version) {
		err = fmt.Errorf("%s is of version %d; this build reads versions 1 to %d", dir, version, Version)
	}
	if err != nil {
		return nil, err
	}
	err = readFile(dir, HistoryFile, func(f *os.File) (err error) {
		if info, failure := f.Stat(); pack && failure == nil && info.Size() > PackAbove {
			run.History, err = ReadPacked(f)
		} else {
			run.History, err = ReadHistory(f)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	err = readFile(dir, NemesisFile, func(r *os.File) (err error) {
		run.Events, err = ReadEvents(r)
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return run, nil
}

func readFile(dir, name string, read func(*os.File) error) error {
	path := filepath.Join(dir, name)
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s holds no %s; want a run directory, such as runs/%s: %w", dir, name, LatestLink, fs.ErrNotExist)
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if err := read(f); err != nil {
		return InFile(path, err)
	}
	return nil
}
