package vdso

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unsafe"
)

// The pieces of hook_linux_amd64.s. Nobody calls them here: they are data.
func hookData()
func hookClockGettime()
func hookGettimeofday()
func hookTime()
func hookEnd()
func hookSymbols() (data, clockGettime, gettimeofday, time, end *byte)

// Offsets in the hook's area, as in hook_linux_amd64.s.
const (
	turnOffset  = 8
	slotsOffset = 16
	codeOffset  = slotsOffset + 2*slotSize
)

const jumpSize = 5 // jmp rel32

// An image is the vDSO of this kernel. Every 64-bit process has the same, at an
// address of its own, so that one look at our own tells how to patch them all.
type image struct {
	right   []byte // as the kernel made it
	patched []byte // with area and jumps
	entries []int  // offsets of the functions that get a jump
	area    int    // offset of the hook
	end     int    // offset of the hook's end
}

var ownImage = sync.OnceValues(func() (*image, error) {
	p, err := openProcess(os.Getpid())
	if err != nil {
		return nil, err
	}
	defer p.mem.Close()
	right := make([]byte, p.size)
	if _, err := p.mem.ReadAt(right, p.base); err != nil {
		return nil, fmt.Errorf("read the vDSO: %w", err)
	}
	return newImage(right)
})

// newImage finds the functions and the free space in a vDSO.
func newImage(right []byte) (*image, error) {
	file, err := elf.NewFile(bytes.NewReader(right))
	if err != nil {
		return nil, fmt.Errorf("parse the vDSO: %w", err)
	}
	symbols, err := file.DynamicSymbols()
	if err != nil {
		return nil, fmt.Errorf("parse the vDSO: %w", err)
	}
	// Behind the section headers, which come last, the last page is empty.
	header := binary.LittleEndian
	table := header.Uint64(right[0x28:])                                               // e_shoff
	table += uint64(header.Uint16(right[0x3a:])) * uint64(header.Uint16(right[0x3c:])) // e_shentsize × e_shnum
	area := int(min(table, uint64(len(right)))+63) &^ 63

	hook, starts, err := hookCode()
	if err != nil {
		return nil, err
	}
	end := area + len(hook)
	if end > len(right) || len(bytes.Trim(right[area:], "\x00")) > 0 {
		return nil, fmt.Errorf("this kernel's vDSO has no free space of %d bytes", len(hook))
	}
	i := &image{right: right, patched: bytes.Clone(right), area: area, end: end}
	copy(i.patched[area:], hook)
	for n, name := range []string{"__vdso_clock_gettime", "__vdso_gettimeofday", "__vdso_time"} {
		at := slices.IndexFunc(symbols, func(s elf.Symbol) bool { return s.Name == name })
		if at < 0 || symbols[at].Size < jumpSize || symbols[at].Value >= uint64(area-jumpSize) {
			return nil, fmt.Errorf("this kernel's vDSO has no %s that could be patched", name)
		}
		entry := int(symbols[at].Value)
		i.entries = append(i.entries, entry)
		i.patched[entry] = 0xe9 // jmp
		header.PutUint32(i.patched[entry+1:], uint32(area+starts[n]-(entry+jumpSize)))
	}
	return i, nil
}

// hookCode returns the bytes from hookData to hookEnd, and where in them the
// three functions start.
func hookCode() (code []byte, starts [3]int, err error) {
	data, clockGettime, gettimeofday, time, end := hookSymbols()
	offset := func(p *byte) int { return int(uintptr(unsafe.Pointer(p)) - uintptr(unsafe.Pointer(data))) }
	starts = [3]int{offset(clockGettime), offset(gettimeofday), offset(time)}
	// The linker keeps the order of the source, but does not promise it.
	if !(codeOffset <= starts[0] && starts[0] < starts[1] && starts[1] < starts[2] && starts[2] < offset(end) && offset(end) < 1024) {
		return nil, starts, errors.New("the linker moved the pieces of the clock hook apart; build without -randlayout")
	}
	return unsafe.Slice(data, offset(end)), starts, nil
}

// A process is one whose vDSO can be patched.
type process struct {
	pid        int
	base, size int64 // of its vDSO
	// mem is its memory, and stays that of the program it was opened for:
	// after exec another is needed.
	mem *os.File
}

func openProcess(pid int) (*process, error) {
	maps, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "maps"))
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(maps)) {
		if !strings.HasSuffix(line, "[vdso]\n") {
			continue
		}
		var from, to int64
		if _, err := fmt.Sscanf(line, "%x-%x", &from, &to); err != nil {
			return nil, fmt.Errorf("parse %q in the memory map of process %d: %w", line, pid, err)
		}
		mem, err := os.OpenFile(filepath.Join("/proc", strconv.Itoa(pid), "mem"), os.O_RDWR, 0)
		if err != nil {
			return nil, err
		}
		return &process{pid, from, to - from, mem}, nil
	}
	return nil, fmt.Errorf("process %d has no vDSO", pid)
}

// state tells what is in place: the hook, and the jumps to it. A vDSO that is
// neither right nor patched by us is an error.
func (p *process) state(i *image) (hook, jumps bool, err error) {
	got := make([]byte, p.size)
	if _, err := p.mem.ReadAt(got, p.base); err != nil {
		return false, false, fmt.Errorf("read the vDSO of process %d: %w", p.pid, err)
	}
	if len(got) == len(i.right) {
		hook = bytes.HasPrefix(got[i.area:], i.patched[i.area:i.area+turnOffset])
		switch head := got[:i.area]; {
		case bytes.Equal(head, i.right[:i.area]):
			return hook, false, nil
		case hook && bytes.Equal(head, i.patched[:i.area]):
			return true, true, nil
		}
	}
	return false, false, fmt.Errorf("process %d has another vDSO than this one; is it a 32-bit program, or has somebody else patched it?", p.pid)
}

// install puts hook and jumps in place; the time stays right. No thread may run,
// and none may be inside a jump's bytes.
func (p *process) install(i *image) error {
	hook, _, err := p.state(i)
	if err != nil {
		return err
	}
	// A hook that was left behind stays as it is: a thread may be inside.
	if !hook {
		if err := p.write(i.patched[i.area:i.end], i.area); err != nil {
			return err
		}
	}
	return p.writeEntries(i, i.patched)
}

func (p *process) writeEntries(i *image, from []byte) error {
	for _, entry := range i.entries {
		if err := p.write(from[entry:entry+jumpSize], entry); err != nil {
			return err
		}
	}
	return nil
}

// set makes the slot the one that the hook obeys. The slot that is not in turn
// is written first, and then the turn, by a single byte: a store that cannot
// tear, whatever the kernel copies with.
func (p *process) set(i *image, s slot) error {
	turn := make([]byte, 1)
	if _, err := p.mem.ReadAt(turn, p.base+int64(i.area+turnOffset)); err != nil {
		return fmt.Errorf("read the vDSO of process %d: %w", p.pid, err)
	}
	turn[0]++
	if err := p.write(s.bytes(), i.area+slotsOffset+int(turn[0]&1)*slotSize); err != nil {
		return err
	}
	return p.write(turn, i.area+turnOffset)
}

// inEntry tells whether an instruction at this address would be torn by
// writing the entries.
func (p *process) inEntry(i *image, pc int64) bool {
	for _, entry := range i.entries {
		if start := p.base + int64(entry); start < pc && pc < start+jumpSize {
			return true
		}
	}
	return false
}

func (p *process) write(b []byte, offset int) error {
	if _, err := p.mem.WriteAt(b, p.base+int64(offset)); err != nil {
		return fmt.Errorf("patch the vDSO of process %d: %w", p.pid, err)
	}
	return nil
}
