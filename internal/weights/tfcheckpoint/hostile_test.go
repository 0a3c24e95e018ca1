package tfcheckpoint

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"effnet/internal/checkpoint"
	"effnet/internal/named"
)

func asError(t *testing.T, what string, err error) *checkpoint.Error {
	t.Helper()
	var e *checkpoint.Error
	if !errors.As(err, &e) || e.Path == "" {
		t.Errorf("%s: %v", what, err)
		return nil
	}
	return e
}

// blockOf makes a block of records, without sharing of keys.
func blockOf(compression byte, records ...record) string {
	var b []byte
	for _, r := range records {
		b = protowire.AppendVarint(b, 0)
		b = protowire.AppendVarint(b, uint64(len(r.key)))
		b = protowire.AppendVarint(b, uint64(len(r.value)))
		b = append(append(b, r.key...), r.value...)
	}
	return sealed(string(b)+"\x00\x00\x00\x00\x01\x00\x00\x00", compression)
}

func sealed(block string, compression byte) string {
	b := append([]byte(block), compression)
	return string(le.AppendUint32(b, masked(b)))
}

// tableOf makes a table of blocks.
func tableOf(blocks ...string) []byte {
	var b []byte
	var index []record
	place := func(block string) []byte {
		h := protowire.AppendVarint(nil, uint64(len(b)))
		h = protowire.AppendVarint(h, uint64(len(block)-trailerBytes))
		b = append(b, block...)
		return h
	}
	for i, block := range blocks {
		index = append(index, record{string(rune('a' + i)), place(block)})
	}
	meta := place(blockOf(0))
	footer := slices.Concat(meta, place(blockOf(0, index...)))
	footer = append(footer, make([]byte, footerBytes-8-len(footer))...)
	return le.AppendUint64(append(b, footer...), tableMagic)
}

// message makes a protobuf message of pairs of a field's number and a value: an
// int, or a message.
func message(pairs ...any) []byte {
	var b []byte
	for i := 0; i < len(pairs); i += 2 {
		number := protowire.Number(pairs[i].(int))
		switch v := pairs[i+1].(type) {
		case int:
			b = protowire.AppendVarint(protowire.AppendTag(b, number, protowire.VarintType), uint64(v))
		case uint32:
			b = protowire.AppendFixed32(protowire.AppendTag(b, number, protowire.Fixed32Type), v)
		case []byte:
			b = protowire.AppendBytes(protowire.AppendTag(b, number, protowire.BytesType), v)
		}
	}
	return b
}

func shape(sizes ...int) []byte {
	var b []byte
	for _, size := range sizes {
		b = append(b, message(2, message(1, size))...)
	}
	return b
}

var (
	values = []byte{0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0} // 1, -2
	header = record{"", message(1, 1)}
)

func variable(name string, value []byte) string { return blockOf(0, header, record{name, value}) }

// readTable reads a checkpoint of an index and values.
func readTable(t *testing.T, index []byte) ([]named.Tensor, error) {
	t.Helper()
	prefix := filepath.Join(t.TempDir(), "x")
	for name, b := range map[string][]byte{".index": index, ".data-00000-of-00001": values} {
		if err := os.WriteFile(prefix+name, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return Read(prefix)
}

func TestReadTables(t *testing.T) {
	half := func(i int) []byte {
		return message(1, 1, 2, shape(1), 4, 4*i, 5, 4, 6, masked(values[4*i:4*i+4]), 99, []byte("later field"))
	}
	got, err := readTable(t, tableOf(blockOf(0, header, record{"a", half(0)}), blockOf(0, record{"b", half(1)})))
	if err != nil || len(got) != 2 || got[0].Data[0] != 1 || got[1].Data[0] != -2 || got[1].Name != "b" {
		t.Errorf("two blocks: %v, %v", got, err)
	}
}

func TestReadRefuses(t *testing.T) {
	crc := masked(values)
	good := message(1, 1, 2, shape(2), 5, 8, 6, crc)
	flipped := tableOf(variable("w", good))
	flipped[3] ^= 1
	for name, c := range map[string]struct {
		index        []byte
		reason, hint string
	}{
		"empty":           {nil, "is not the index", "download"},
		"snappy":          {tableOf(blockOf(1, header)), "compressed with Snappy, which is not supported", "TensorFlow"},
		"compression":     {tableOf(blockOf(9, header)), "an unknown compression", ""},
		"flipped":         {flipped, "does not have its checksum", "download"},
		"no header":       {tableOf(blockOf(0, record{"w", good})), "not of a TensorFlow checkpoint of version 2", ""},
		"no records":      {tableOf(), "not of a TensorFlow checkpoint of version 2", ""},
		"no variables":    {tableOf(blockOf(0, header)), "has no variables", ""},
		"order":           {tableOf(blockOf(0, header, record{"b", good}, record{"a", good})), "keys out of order", ""},
		"twice":           {tableOf(blockOf(0, header, record{"a", good}, record{"a", good})), "keys out of order", ""},
		"big-endian":      {tableOf(blockOf(0, record{"", message(1, 1, 2, 1)})), "big-endian", "x86"},
		"many shards":     {tableOf(blockOf(0, record{"", message(1, 1<<40)})), "1099511627776 data files", ""},
		"long name":       {tableOf(variable(strings.Repeat("w", 5000), good)), "a key or value that leaves its block", ""},
		"shares too much": {tableOf(sealed("\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", 0)), "a key or value that leaves", ""},
		"offsets":         {tableOf(sealed("\xff\xff\xff\xff", 0)), "a block of offsets only", ""},
		"no end":          {tableOf(sealed("", 0)), "a block without its end", ""},
		"endless length":  {tableOf(sealed("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f\x00\x00\x00\x00", 0)), "a malformed length", ""},

		"complex":         {tableOf(variable("w", message(1, 8, 2, shape(1), 5, 8))), "type 8 of", ""},
		"malformed":       {tableOf(variable("w", []byte{0xff})), `malformed entry "w"`, ""},
		"unknown shape":   {tableOf(variable("w", message(1, 1, 2, message(3, 1)))), "its shape is unknown", ""},
		"rank":            {tableOf(variable("w", message(1, 1, 2, shape(1, 1, 1, 1, 1, 1, 1, 1, 1)))), "more than 8 dimensions", ""},
		"negative":        {tableOf(variable("w", message(1, 1, 2, shape(-1), 5, 8))), "shape [-1]", ""},
		"overflow":        {tableOf(variable("w", message(1, 1, 2, shape(1<<31, 1<<31, 4), 5, 0))), "shape [", ""},
		"size":            {tableOf(variable("w", message(1, 1, 2, shape(3), 5, 8))), "8 bytes for 3 values", ""},
		"huge":            {tableOf(variable("w", message(1, 1, 2, shape(1<<30), 5, 4<<30))), "4294967296 bytes at byte 0 of 8", "download"},
		"behind the end":  {tableOf(variable("w", message(1, 1, 2, shape(2), 4, 4, 5, 8))), "8 bytes at byte 4 of 8", "download"},
		"negative offset": {tableOf(variable("w", message(1, 1, 2, shape(2), 4, -8, 5, 8))), "8 bytes at byte -8", "download"},
		"overlap":         {tableOf(blockOf(0, header, record{"a", good}, record{"b", good})), "it overlaps others", ""},
		"checksum":        {tableOf(variable("w", message(1, 1, 2, shape(2), 5, 8, 6, crc+1))), "does not have its checksum", "download"},
		"shard":           {tableOf(variable("w", message(1, 1, 2, shape(2), 3, 1, 5, 8))), "data file 1 of 1", ""},
	} {
		_, err := readTable(t, c.index)
		if e := asError(t, name, err); e != nil && (!strings.Contains(err.Error(), c.reason) || !strings.Contains(e.Hint, c.hint)) {
			t.Errorf("%s: %v, hint %q", name, err, e.Hint)
		}
	}
}

// TestReadDamaged cuts and turns bits of both files of a checkpoint. Checksums
// notice all of it but in the footer's meta block and padding.
func TestReadDamaged(t *testing.T) {
	folder := copyOf(t, "network")
	for _, name := range []string{"network.index", "network.data-00000-of-00001"} {
		path := filepath.Join(folder, name)
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		try := func(what string, i int, b []byte, certain bool) {
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := Read(folder); err != nil || certain {
				if asError(t, what, err) == nil {
					t.Errorf("%s: %s at %d of %d", name, what, i, len(b))
				}
			}
		}
		for n := range whole {
			if n%5 == 0 {
				try("cut", n, whole[:n], true)
			}
			b := slices.Clone(whole)
			b[n] ^= 1 << (n % 8)
			try("flip", n, b, name != "network.index" || n < len(whole)-200)
		}
		if err := os.WriteFile(path, whole, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// FuzzRead reads an index whose checksums are put right, so that the code behind
// them is reached, and values.
func FuzzRead(f *testing.F) {
	paths, _ := filepath.Glob(checkpoints + "/*.index")
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, values)
	}
	f.Add(tableOf(variable("w", message(1, 1, 2, shape(2), 5, 8, 6, masked(values)))), values)
	prefix := filepath.Join(f.TempDir(), "x")
	f.Fuzz(func(t *testing.T, index, data []byte) {
		repair(index)
		if err := os.WriteFile(prefix+".index", index, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(prefix+".data-00000-of-00001", data, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Read(prefix); err != nil {
			asError(t, "fuzz", err)
		}
	})
}

// repair sets the checksums of an index's blocks.
func repair(b []byte) {
	if len(b) < footerBytes {
		return
	}
	seal := func(at block) {
		if at.offset < uint64(len(b)) && at.size < uint64(len(b))-at.offset && uint64(len(b))-at.offset-at.size >= trailerBytes {
			end := at.offset + at.size + 1
			binary.LittleEndian.PutUint32(b[end:], masked(b[at.offset:end]))
		}
	}
	_, rest, err := handle(b[len(b)-footerBytes : len(b)-8])
	if err != nil {
		return
	}
	index, _, err := handle(rest)
	if err != nil {
		return
	}
	seal(index)
	records, err := index.records(b, nil)
	if err != nil {
		return
	}
	for _, r := range records {
		if at, _, err := handle(r.value); err == nil {
			seal(at)
		}
	}
}
