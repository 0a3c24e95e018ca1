package hdf5

import (
	"errors"
	"fmt"
)

// A link is a name for the object whose header is at an address.
type link struct {
	name string
	at   uint64
}

// links returns what a group holds.
func (f *file) links(messages []message) ([]link, error) {
	var all []link
	for _, m := range messages {
		c := cursor{b: m.data}
		switch m.kind {
		case symbolTableMessage: // IV.A.2.r
			tree, heap := c.uint(8), c.uint(8)
			if c.err != nil {
				return nil, c.err
			}
			names, err := f.heap(heap)
			if err != nil {
				return nil, err
			}
			if all, err = f.symbols(all, names, tree, -1); err != nil {
				return nil, err
			}
		case linkMessage:
			l, err := c.link()
			if err != nil {
				return nil, err
			}
			all = append(all, l)
		case linkInfoMessage: // IV.A.2.c
			c.skip(1)
			if c.uint(1)&1 != 0 {
				c.skip(8)
			}
			if c.uint(8) != undefined {
				return nil, UnsupportedError("a group with dense links")
			}
			if c.err != nil {
				return nil, c.err
			}
		}
	}
	return all, nil
}

// link takes a hard link (IV.A.2.g).
func (c *cursor) link() (link, error) {
	version, flags := c.uint(1), c.uint(1)
	if c.err == nil && version != 1 {
		return link{}, unsupportedf("a link of version %d", version)
	}
	kind := uint64(0)
	if flags&8 != 0 {
		kind = c.uint(1)
	}
	if kind != 0 {
		return link{}, UnsupportedError("a soft or external link")
	}
	if flags&4 != 0 {
		c.skip(8) // the order of creation
	}
	if flags&16 != 0 {
		c.skip(1) // the character set
	}
	n := c.uint(1 << (flags & 3))
	if n > maxName {
		return link{}, fmt.Errorf("a name of %d bytes", n)
	}
	name := c.bytes(int(n))
	return link{string(name), c.uint(8)}, c.err
}

// heap returns the data of a local heap (III.D).
func (f *file) heap(at uint64) (block, error) {
	b, err := f.read(at, 32)
	if err != nil {
		return block{}, err
	}
	c := cursor{b: b}
	if !c.magic("HEAP") {
		return block{}, fmt.Errorf("no heap at byte %d", at)
	}
	c.skip(4)
	n := c.uint(8)
	c.skip(8)
	return block{c.uint(8), n}, nil
}

// symbols appends the links of a group's B-tree (III.A.1), whose nodes of one
// level are a level above those that they name. A level of -1 is any.
func (f *file) symbols(all []link, names block, at uint64, level int) ([]link, error) {
	node, err := f.node(at, 0, level, 8)
	if err != nil {
		return nil, err
	}
	for _, child := range node.children {
		if node.level > 0 {
			all, err = f.symbols(all, names, child, node.level-1)
		} else {
			all, err = f.symbolNode(all, names, child)
		}
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

// A node of a version 1 B-tree. A child has the key before it.
type node struct {
	level    int
	keys     [][]byte
	children []uint64
}

// node reads a node of a kind with keys of some bytes.
func (f *file) node(at uint64, kind, level, keyBytes int) (*node, error) {
	b, err := f.read(at, 24)
	if err != nil {
		return nil, err
	}
	c := cursor{b: b}
	if !c.magic("TREE") || c.int(1) != kind {
		return nil, fmt.Errorf("no B-tree at byte %d", at)
	}
	n := &node{level: c.int(1)}
	if level >= 0 && n.level != level {
		return nil, errors.New("a B-tree whose levels do not fit")
	}
	entries := c.int(2)
	if c.b, err = f.read(at+24, entries*(keyBytes+8)); err != nil {
		return nil, err
	}
	for range entries {
		n.keys = append(n.keys, c.bytes(keyBytes))
		n.children = append(n.children, c.uint(8))
	}
	return n, c.err
}

// symbolNode appends the links of a symbol table node (III.B).
func (f *file) symbolNode(all []link, names block, at uint64) ([]link, error) {
	b, err := f.read(at, 8)
	if err != nil {
		return nil, err
	}
	c := cursor{b: b}
	if !c.magic("SNOD") {
		return nil, fmt.Errorf("no symbol table at byte %d", at)
	}
	c.skip(2)
	entries := c.int(2)
	const entryBytes, symbolic = 40, 2
	if c.b, err = f.read(at+8, entries*entryBytes); err != nil {
		return nil, err
	}
	for range entries {
		offset := c.uint(8)
		l := link{at: c.uint(8)}
		if c.uint(4) == symbolic {
			return nil, UnsupportedError("a soft link")
		}
		c.skip(4 + 16)
		if offset >= names.n {
			return nil, errors.New("a name outside of its heap")
		}
		if l.name, err = f.text(names.at + offset); err != nil {
			return nil, err
		}
		all = append(all, l)
	}
	return all, c.err
}
