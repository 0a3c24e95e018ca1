package torchfile

import (
	"encoding/binary"
	"math"
)

// opcodes are those of pickle's protocols 2 to 5 that data takes. Python's
// pickletools describes them. Those that call Python objects call only what globals
// has, and otherwise make an object that holds nothing.
var opcodes = [256]func(m *machine){
	0x80: func(m *machine) { // PROTO
		if v := m.uint(1); v < 2 || v > 5 {
			m.failf("protocol %d", v)
		}
	},
	0x95: func(m *machine) { m.uint(8) }, // FRAME: a hint for reading ahead

	'(': (*machine).mark,
	'0': func(m *machine) { m.pop() },
	'1': func(m *machine) { m.popMark() },
	'2': func(m *machine) { m.push(m.top()) }, // DUP

	'N':  func(m *machine) { m.push(nil) },
	0x88: func(m *machine) { m.push(true) },
	0x89: func(m *machine) { m.push(false) },
	'J':  func(m *machine) { m.push(int64(int32(m.uint(4)))) }, // BININT
	'K':  func(m *machine) { m.push(m.uint(1)) },
	'M':  func(m *machine) { m.push(m.uint(2)) },
	0x8a: func(m *machine) { m.push(m.integer(1)) }, // LONG1
	0x8b: func(m *machine) { m.push(m.integer(4)) },
	'G': func(m *machine) { // BINFLOAT, the only value that is big-endian
		var b [8]byte
		copy(b[:], m.read(8, 8))
		m.push(math.Float64frombits(binary.BigEndian.Uint64(b[:])))
	},

	0x8c: func(m *machine) { m.push(m.sized(1)) }, // SHORT_BINUNICODE
	'X':  func(m *machine) { m.push(m.sized(4)) },
	0x8d: func(m *machine) { m.push(m.sized(8)) },
	'U':  func(m *machine) { m.push(m.sized(1)) }, // SHORT_BINSTRING, Python 2's str
	'T':  func(m *machine) { m.push(m.sized(4)) },
	'C':  func(m *machine) { m.push(data(m.sized(1))) }, // SHORT_BINBYTES
	'B':  func(m *machine) { m.push(data(m.sized(4))) },
	0x8e: func(m *machine) { m.push(data(m.sized(8))) },
	0x96: func(m *machine) { m.push(data(m.sized(8))) }, // BYTEARRAY8

	')':  func(m *machine) { m.push(tuple{}) },
	't':  func(m *machine) { m.push(tuple(m.popMark())) },
	0x85: func(m *machine) { m.push(tuple(m.popN(1))) },
	0x86: func(m *machine) { m.push(tuple(m.popN(2))) },
	0x87: func(m *machine) { m.push(tuple(m.popN(3))) },

	']':  func(m *machine) { m.push(&list{}) },
	'l':  func(m *machine) { m.push(&list{m.popMark()}) },
	'a':  func(m *machine) { m.extend(m.popN(1)) }, // APPEND
	'e':  func(m *machine) { m.extend(m.popMark()) },
	0x8f: func(m *machine) { m.push(&list{}) }, // EMPTY_SET
	0x90: func(m *machine) { m.extend(m.popMark()) },
	0x91: func(m *machine) { m.push(&list{m.popMark()}) }, // FROZENSET

	'}': func(m *machine) { m.push(&dict{}) },
	'd': func(m *machine) { // DICT
		items := m.popMark()
		m.push(&dict{})
		m.update(items)
	},
	's': func(m *machine) { m.update(m.popN(2)) }, // SETITEM
	'u': func(m *machine) { m.update(m.popMark()) },

	'q':  func(m *machine) { m.memo[m.uint(1)] = m.top() }, // BINPUT
	'r':  func(m *machine) { m.memo[m.uint(4)] = m.top() },
	0x94: func(m *machine) { m.memo[int64(len(m.memo))] = m.top() }, // MEMOIZE
	'h':  func(m *machine) { m.recall(m.uint(1)) },                  // BINGET
	'j':  func(m *machine) { m.recall(m.uint(4)) },

	'c': func(m *machine) { // GLOBAL
		module := m.line()
		m.global(module, m.line())
	},
	0x93: func(m *machine) { // STACK_GLOBAL
		names := m.popN(2)
		module, name, ok := pair[string, string](names)
		if !ok || len(module) > maxGlobal || len(name) > maxGlobal {
			m.failf("a global without a name")
		}
		m.global(module, name)
	},
	'i': func(m *machine) { // INST
		args := tuple(m.popMark())
		module := m.line()
		m.global(module, m.line())
		m.call(m.pop(), args)
	},
	'o': func(m *machine) { // OBJ
		values := m.popMark()
		if len(values) == 0 {
			m.failf("an object without a class")
			return
		}
		m.call(values[0], values[1:])
	},
	'R':  func(m *machine) { m.reduce(m.popN(2)) },
	0x81: func(m *machine) { m.reduce(m.popN(2)) }, // NEWOBJ
	0x92: func(m *machine) { // NEWOBJ_EX
		m.pop() // the named arguments
		m.reduce(m.popN(2))
	},
	'b': (*machine).build,
	'Q': func(m *machine) { m.push(m.persistent(m.pop())) }, // BINPERSID
}

// recall pushes a value of the memo.
func (m *machine) recall(i int64) {
	v, ok := m.memo[i]
	if !ok {
		m.failf("nothing was stored as %d", i)
	}
	m.push(v)
}

// extend appends values to the list on top. A list of a class that isn't known stays
// empty.
func (m *machine) extend(values []any) {
	switch l := m.top().(type) {
	case *list:
		l.items = append(l.items, values...)
	case *object:
	default:
		m.failf("a value is appended to what is no list")
	}
}

// update adds keys and values, alternating, to the dict on top.
func (m *machine) update(values []any) {
	d := asDict(m.top())
	if d == nil || len(values)%2 != 0 {
		m.failf("a key is set in what is no dict, or has no value")
		return
	}
	for i := 0; i < len(values); i += 2 {
		d.items = append(d.items, item{values[i], values[i+1]})
	}
}

// reduce calls a function or a class with a tuple of arguments.
func (m *machine) reduce(values []any) {
	if len(values) != 2 {
		return // m.err says so
	}
	args, ok := values[1].(tuple)
	if !ok {
		m.failf("a call of what is no function")
		return
	}
	m.call(values[0], args)
}

// call pushes the result of a function or a class.
func (m *machine) call(function any, args tuple) {
	g, ok := function.(global)
	if !ok {
		if _, ok := function.(*object); !ok {
			m.failf("a call of what is no function")
			return
		}
		g.name = "an object"
	}
	v, err := g.result(args)
	if err != nil {
		m.failf("%s: %w", g.name, err)
	}
	m.push(v)
}

// build sets an object's attributes. PyTorch gives a state_dict one, _metadata, with the
// versions of its modules, which does not matter; those of an object may be the parts of a
// module.
func (m *machine) build() {
	state := m.pop()
	switch o := m.top().(type) {
	case *object:
		o.state = state
	case *dict, *view:
	default:
		m.failf("attributes are set in what is no object")
	}
}

// pair returns two values of given types.
func pair[A, B any](values []any) (a A, b B, ok bool) {
	if len(values) != 2 {
		return a, b, false
	}
	a, okA := values[0].(A)
	b, okB := values[1].(B)
	return a, b, okA && okB
}
