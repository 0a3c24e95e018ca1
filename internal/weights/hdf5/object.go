package hdf5

import (
	"errors"
	"fmt"
)

// Types of messages (IV.A.2).
const (
	dataspaceMessage    = 0x01
	linkInfoMessage     = 0x02
	datatypeMessage     = 0x03
	linkMessage         = 0x06
	externalMessage     = 0x07
	layoutMessage       = 0x08
	filterMessage       = 0x0b
	attributeMessage    = 0x0c
	continuationMessage = 0x10
	symbolTableMessage  = 0x11
)

// A message is a part of an object's header.
type message struct {
	kind   int
	shared bool // its data is elsewhere
	data   []byte
}

// object reads the object whose header is at an address, and those below it.
func (f *file) object(name string, at uint64, depth int) (*Object, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("groups inside each other more than %d deep", maxDepth)
	}
	messages, err := f.header(at)
	if err != nil {
		return nil, fmt.Errorf("the object header at byte %d: %w", at, err)
	}
	o := &Object{Name: name, Attributes: map[string]string{}}
	for _, m := range messages {
		switch m.kind {
		case attributeMessage:
			err = f.attribute(o, m)
		case layoutMessage:
			o.Dataset = &Dataset{f: f}
		}
		if err != nil {
			return nil, fmt.Errorf("an attribute of %.80q: %w", name, err)
		}
	}
	if o.Dataset != nil {
		if err := o.Dataset.parse(messages); err != nil {
			return nil, fmt.Errorf("dataset %.80q: %w", name, err)
		}
		return o, nil
	}
	links, err := f.links(messages)
	if err != nil {
		return nil, fmt.Errorf("group %.80q: %w", name, err)
	}
	seen := map[string]bool{}
	for _, l := range links {
		if seen[l.name] {
			return nil, fmt.Errorf("group %.80q has %.80q twice", name, l.name)
		}
		seen[l.name] = true
		child, err := f.object(l.name, l.at, depth+1)
		if err != nil {
			return nil, err
		}
		o.Objects = append(o.Objects, child)
	}
	return o, nil
}

// header returns the messages of an object's header, in order (IV.A.1).
func (f *file) header(at uint64) ([]message, error) {
	b, err := f.read(at, 16)
	if err != nil {
		return nil, err
	}
	c := cursor{b: b}
	if string(b[:4]) == "OHDR" {
		return f.header2(at)
	}
	if version := c.uint(1); version != 1 {
		return nil, fmt.Errorf("no object header, or one of version %d", version)
	}
	c.skip(1)
	left := c.int(2)
	if left > maxMessages {
		return nil, fmt.Errorf("%d messages", left)
	}
	c.skip(4)
	blocks := []block{{at + 16, c.uint(4)}}
	var messages []message
	for i := 0; i < len(blocks); i++ {
		if blocks[i].n > maxBlock {
			return nil, fmt.Errorf("%d bytes", blocks[i].n)
		}
		if c.b, err = f.read(blocks[i].at, int(blocks[i].n)); err != nil {
			return nil, err
		}
		for ; c.err == nil && left > 0 && len(c.b) >= 8; left-- {
			m := message{kind: c.int(2)}
			n := c.int(2)
			m.shared = c.uint(1)&2 != 0
			c.skip(3)
			m.data = c.bytes(n)
			blocks = m.follow(blocks)
			messages = append(messages, m)
		}
	}
	if c.err == nil && left > 0 {
		return nil, fmt.Errorf("%d messages are missing", left)
	}
	return messages, c.err
}

// block is a range of the file.
type block struct{ at, n uint64 }

// follow adds the block that a continuation names.
func (m message) follow(blocks []block) []block {
	if m.kind != continuationMessage || len(m.data) < 16 {
		return blocks
	}
	return append(blocks, block{le.Uint64(m.data), le.Uint64(m.data[8:])})
}

// header2 is header for version 2. Its checksums are not compared.
func (f *file) header2(at uint64) ([]message, error) {
	b, err := f.read(at, 6)
	if err != nil {
		return nil, err
	}
	version, flags := b[4], b[5]
	if version != 2 {
		return nil, unsupportedf("an object header of version %d", version)
	}
	prefix := 6 // the signature to the flags
	if flags&0x20 != 0 {
		prefix += 16 // four times
	}
	if flags&0x10 != 0 {
		prefix += 4 // limits of attributes
	}
	sizeBytes := 1 << (flags & 3)
	if b, err = f.read(at, prefix+sizeBytes); err != nil {
		return nil, err
	}
	c := cursor{b: b[prefix:]}
	const checksum = 4
	blocks := []block{{at + uint64(prefix+sizeBytes), c.uint(sizeBytes)}}
	var messages []message
	for i := 0; i < len(blocks); i++ {
		if blocks[i].n > maxBlock {
			return nil, fmt.Errorf("%d bytes", blocks[i].n)
		}
		if c.b, err = f.read(blocks[i].at, int(blocks[i].n)); err != nil {
			return nil, err
		}
		if i > 0 {
			if !c.magic("OCHK") || len(c.b) < checksum {
				return nil, errors.New("no continuation where one should be")
			}
			c.b = c.b[:len(c.b)-checksum]
		}
		blocks, messages = c.messages2(flags, blocks, messages)
		if len(messages) > maxMessages {
			return nil, fmt.Errorf("more than %d messages", maxMessages)
		}
	}
	return messages, c.err
}

// messages2 takes the messages of a block of a header of version 2.
func (c *cursor) messages2(flags byte, blocks []block, messages []message) ([]block, []message) {
	prefix := 4
	if flags&4 != 0 {
		prefix = 6 // with the order of creation
	}
	for c.err == nil && len(c.b) >= prefix {
		m := message{kind: c.int(1)}
		n := c.int(2)
		m.shared = c.uint(1)&2 != 0
		c.skip(prefix - 4)
		m.data = c.bytes(n)
		blocks = m.follow(blocks)
		messages = append(messages, m)
	}
	return blocks, messages
}
