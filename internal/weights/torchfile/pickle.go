package torchfile

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
)

// Values of a pickle are nil, bool, int64, float64, string and these. Dicts and
// lists may hold themselves, so nothing walks them to their end.
type (
	dict struct{ items []item } // in order, duplicates too
	item struct{ key, value any }
	list struct{ items []any } // sets too
	// object is of a class that isn't known, or the result of a function that isn't: it
	// holds what a dict would be given, and its attributes as the pickle has them.
	object struct {
		dict
		class string
		state any
		parts *dict // what stateDict found, nil before it looked
	}
	// tuple is never changed once made.
	tuple []any
	// wide is an integer of more than 8 bytes, little-endian two's complement.
	wide string
	// data is a string of bytes.
	data string
)

// source reads a file's pickles and counts their bytes.
type source struct {
	r    *bufio.Reader
	pos  int64 // bytes read
	size int64 // bytes there are
}

func newSource(r io.Reader, size int64) *source {
	return &source{r: bufio.NewReader(r), size: size}
}

// machine runs one pickle. Its first error stays in err, and ends the run after
// the opcode; until then what its methods return is nil or zero.
type machine struct {
	src      *source
	stack    []any
	marks    []int // heights of the stack
	memo     map[int64]any
	storages map[string]*storage // by key; filled by the pickle
	err      error
}

// unpickle runs the pickle that is next in src and returns its value and the
// storages that it names. Errors are *checkpoint.Error or wrap io.EOF when the
// pickle has no end.
func unpickle(src *source) (any, map[string]*storage, error) {
	m := &machine{src: src, memo: map[int64]any{}, storages: map[string]*storage{}}
	for range maxOps {
		at := src.pos
		op := byte(m.uint(1))
		if m.err == nil && op == '.' {
			value := m.pop()
			return value, m.storages, m.wrap(at)
		}
		if run := opcodes[op]; m.err == nil && run != nil {
			run(m)
		} else {
			m.failf("opcode 0x%02x is not one of those that are read", op)
		}
		if m.err != nil {
			return nil, nil, m.wrap(at)
		}
	}
	return nil, nil, faultf("", "has a pickle of more than %d opcodes", maxOps)
}

// wrap says where in the pickle m.err is; it returns nil when there is none.
func (m *machine) wrap(at int64) error {
	if m.err == nil {
		return nil
	}
	return fault(m.err, fmt.Sprintf("has a malformed pickle at byte %d", at))
}

func (m *machine) fail(err error) {
	if m.err == nil {
		m.err = err
	}
}

func (m *machine) failf(format string, args ...any) { m.fail(fmt.Errorf(format, args...)) }

// read returns the next n bytes, or nil when they are too many.
func (m *machine) read(n, limit int64) []byte {
	switch left := m.src.size - m.src.pos; {
	case m.err != nil:
		return nil
	case n < 0 || n > limit:
		m.failf("a string of %d bytes", uint64(n))
		return nil
	case n > left:
		m.fail(io.ErrUnexpectedEOF)
		return nil
	}
	b := make([]byte, n)
	k, err := io.ReadFull(m.src.r, b)
	m.src.pos += int64(k)
	if err != nil {
		m.fail(err)
		return nil
	}
	return b
}

// uint reads a little-endian integer of n bytes, at most 8.
func (m *machine) uint(n int64) int64 {
	var b [8]byte
	copy(b[:], m.read(n, 8))
	return int64(binary.LittleEndian.Uint64(b[:]))
}

// sized reads a string behind its length, which has n bytes.
func (m *machine) sized(n int64) string { return string(m.read(m.uint(n), maxString)) }

// integer reads a two's complement integer behind its length, which has n bytes.
func (m *machine) integer(n int64) any {
	b := []byte(m.sized(n))
	switch {
	case len(b) == 0:
		return int64(0)
	case len(b) > 8:
		return wide(b)
	}
	sign := byte(int8(b[len(b)-1]) >> 7)
	b = append(b, slices.Repeat([]byte{sign}, 8-len(b))...)
	return int64(binary.LittleEndian.Uint64(b))
}

// line reads up to a line's end, which it drops.
func (m *machine) line() string {
	var b []byte
	for len(b) <= maxGlobal && m.err == nil {
		c := byte(m.uint(1))
		if c == '\n' {
			return string(b)
		}
		b = append(b, c)
	}
	m.fail(errors.New("a line without end"))
	return ""
}

func (m *machine) push(v any) {
	if len(m.stack) == maxStack {
		m.failf("more than %d values on the stack", maxStack)
		return
	}
	m.stack = append(m.stack, v)
}

// bottom is the height of the stack that pop does not go below.
func (m *machine) bottom() int {
	if len(m.marks) == 0 {
		return 0
	}
	return m.marks[len(m.marks)-1]
}

// pop takes a value from the stack.
func (m *machine) pop() any {
	v := m.top()
	if m.err == nil {
		m.stack = m.stack[:len(m.stack)-1]
	}
	return v
}

func (m *machine) top() any {
	if len(m.stack) <= m.bottom() {
		m.fail(errors.New("the stack is empty"))
		return nil
	}
	return m.stack[len(m.stack)-1]
}

// popN takes n values from the stack.
func (m *machine) popN(n int) []any {
	if len(m.stack)-m.bottom() < n {
		m.fail(errors.New("the stack is empty"))
		return nil
	}
	at := len(m.stack) - n
	values := slices.Clone(m.stack[at:])
	m.stack = m.stack[:at]
	return values
}

func (m *machine) mark() {
	if len(m.marks) == maxMarks {
		m.failf("more than %d marks", maxMarks)
		return
	}
	m.marks = append(m.marks, len(m.stack))
}

// popMark takes the values above the last mark, and the mark.
func (m *machine) popMark() []any {
	if len(m.marks) == 0 {
		m.fail(errors.New("no mark"))
		return nil
	}
	values := m.popN(len(m.stack) - m.bottom())
	m.marks = m.marks[:len(m.marks)-1]
	return values
}

// global pushes what a module's name stands for: one of globals, or the name alone.
func (m *machine) global(module, name string) {
	if m.err != nil {
		return
	}
	g := globals[module+"."+name]
	g.name = module + "." + name
	m.push(g)
}
