package tfcheckpoint

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"

	"google.golang.org/protobuf/encoding/protowire"

	"effnet/internal/checkpoint"
)

// tableMagic ends a table (tensorflow/core/lib/io/format.h).
const tableMagic = 0xdb4775248b80fb57

const (
	footerBytes  = 48 // two handles, zeros and tableMagic
	trailerBytes = 5  // of a block: the compression and a checksum
)

var (
	le         = binary.LittleEndian
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

// A record is a key and what the table has for it.
type record struct {
	key   string
	value []byte
}

// table returns all records of a table, in the order of keys, which ascend.
func table(b []byte) ([]record, error) {
	if len(b) < footerBytes || le.Uint64(b[len(b)-8:]) != tableMagic {
		return nil, faultf(again, "is not the index of a TensorFlow checkpoint, or is cut short")
	}
	footer := b[len(b)-footerBytes:]
	_, rest, err := handle(footer[:footerBytes-8]) // of meta blocks, which are not used
	if err != nil {
		return nil, damaged(err)
	}
	at, _, err := handle(rest)
	if err != nil {
		return nil, damaged(err)
	}
	index, err := at.records(b, nil)
	if err != nil {
		return nil, damaged(err)
	}
	var all []record
	for _, r := range index {
		at, _, err := handle(r.value)
		if err != nil {
			return nil, damaged(err)
		}
		if all, err = at.records(b, all); err != nil {
			return nil, damaged(err)
		}
	}
	return all, nil
}

// damaged makes an error of a table one of the file.
func damaged(err error) *checkpoint.Error {
	if e := (*checkpoint.Error)(nil); errors.As(err, &e) {
		return e
	}
	return &checkpoint.Error{Reason: "is a damaged index", Hint: again, Err: err}
}

// A block is where one lies in a table.
type block struct{ offset, size uint64 }

// handle takes a block from the front of bytes.
func handle(b []byte) (block, []byte, error) {
	offset, n := protowire.ConsumeVarint(b)
	if n < 0 {
		return block{}, nil, protowire.ParseError(n)
	}
	size, m := protowire.ConsumeVarint(b[n:])
	if m < 0 {
		return block{}, nil, protowire.ParseError(m)
	}
	return block{offset, size}, b[n+m:], nil
}

// contents returns the bytes of a block after comparing their checksum.
func (at block) contents(b []byte) ([]byte, error) {
	if at.offset > uint64(len(b)) || at.size > uint64(len(b))-at.offset || uint64(len(b))-at.offset-at.size < trailerBytes {
		return nil, errors.New("a block outside of it")
	}
	b = b[at.offset : at.offset+at.size+trailerBytes]
	end := len(b) - trailerBytes
	if masked(b[:end+1]) != le.Uint32(b[end+1:]) {
		return nil, errors.New("a block does not have its checksum")
	}
	switch b[end] {
	case 0:
		return b[:end], nil
	case 1:
		return nil, faultf("read and save it again with TensorFlow, which does not compress", "is compressed with Snappy, which is not supported")
	}
	return nil, errors.New("an unknown compression")
}

// records appends those of a block: the length that a key shares with the one
// before, the length of the rest, the value's length, the rest, the value. After
// them come offsets to search by.
func (at block) records(b []byte, all []record) ([]record, error) {
	b, err := at.contents(b)
	if err != nil {
		return nil, err
	}
	if len(b) < 4 {
		return nil, errors.New("a block without its end")
	}
	offsets := uint64(le.Uint32(b[len(b)-4:]))
	if offsets > uint64(len(b)-4)/4 {
		return nil, errors.New("a block of offsets only")
	}
	b = b[:uint64(len(b)-4)-4*offsets]
	var key []byte
	for len(b) > 0 {
		var lengths [3]int
		for i := range lengths {
			v, n := protowire.ConsumeVarint(b)
			if n < 0 || v > math.MaxInt32 {
				return nil, errors.New("a malformed length")
			}
			lengths[i], b = int(v), b[n:]
		}
		shared, rest, value := lengths[0], lengths[1], lengths[2]
		if shared > len(key) || rest > len(b) || value > len(b)-rest || shared+rest > maxName {
			return nil, errors.New("a key or value that leaves its block")
		}
		key = append(key[:shared], b[:rest]...)
		r := record{string(key), b[rest : rest+value]}
		if n := len(all); n > 0 && r.key <= all[n-1].key || n == maxEntries {
			return nil, errors.New("keys out of order, or too many")
		}
		all = append(all, r)
		b = b[rest+value:]
	}
	return all, nil
}

// masked is the CRC-32C that TensorFlow stores (tensorflow/core/lib/hash/crc32c.h).
func masked(b []byte) uint32 { return mask(crc32.Checksum(b, castagnoli)) }

func mask(crc uint32) uint32 { return (crc>>15 | crc<<17) + 0xa282ead8 }
