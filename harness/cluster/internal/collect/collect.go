// Package collect keeps copies of nodes' data, for Cluster.Collect.
package collect

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
)

// A Copy is a directory that receives a node's files, whole and up to a limit.
// What cannot be had is left out, and told by Close.
type Copy struct {
	root     *os.Root
	patterns []string // of path.Match; none means every file
	limit    int64
	left     int64 // bytes
	tooMuch  int
	strange  int
	example  string // of those left out
}

// Into makes the directory, which may exist, and returns the copy of at most
// limit bytes, of files whose names match one of the patterns, if there are any. It
// must be closed.
func Into(dir string, limit int64, patterns ...string) (*Copy, error) {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return &Copy{root: root, patterns: patterns, limit: limit, left: limit}, nil
}

// Wants returns whether the copy is to have a file of that slash-separated name.
func (c *Copy) Wants(name string) bool {
	return len(c.patterns) == 0 || slices.ContainsFunc(c.patterns, func(pattern string) bool {
		matched, err := path.Match(pattern, name)
		return err == nil && matched
	})
}

// Add writes a file of that size, unless that would exceed the limit. Names are
// slash-separated and relative; none leads out of the directory.
func (c *Copy) Add(name string, size int64, content io.Reader) (err error) {
	if size > c.left {
		c.tooMuch++
		c.example = name
		return nil
	}
	name = filepath.FromSlash(name)
	if err := c.root.MkdirAll(filepath.Dir(name), 0o777); err != nil {
		return err
	}
	file, err := c.root.Create(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	written, err := io.Copy(file, io.LimitReader(content, size))
	c.left -= written
	return err
}

// Omit notes that what has this name is no file that could be copied.
func (c *Copy) Omit(name string) {
	c.strange++
	c.example = name
}

// Close ends the copy. Its error says what is missing.
func (c *Copy) Close() error {
	err := c.root.Close()
	if c.tooMuch > 0 {
		err = errors.Join(err, fmt.Errorf("the copy is cut: %d files, such as %q, would make it larger than %d MiB", c.tooMuch, c.example, c.limit>>20))
	}
	if c.strange > 0 {
		err = errors.Join(err, fmt.Errorf("%d entries, such as %q, are no regular files and were not copied", c.strange, c.example))
	}
	return err
}
