package torchfile

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"effnet/internal/checkpoint"
)

// zipOf makes a zip of stored files, by name.
func zipOf(files map[string]string) []byte {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		w, _ := z.CreateHeader(&zip.FileHeader{Name: name})
		_, _ = w.Write([]byte(files[name]))
	}
	_ = z.Close()
	return b.Bytes()
}

// torchZip is a file whose object is a pickle, with two storages of 16 bytes.
func torchZip(pickle string) []byte {
	sixteen := strings.Repeat("\x00\x00\x80\x3f", 4)
	return zipOf(map[string]string{"x/data.pkl": pickle, "x/data/0": sixteen, "x/data/1": sixteen, "x/byteorder": "little"})
}

const preamble = "\x80\x02\x8a\x0a" + string(magic) + "." + "\x80\x02M\xe9\x03." + "\x80\x02}."

// Pieces of pickles.
func str(s string) string {
	return "X" + string(binary.LittleEndian.AppendUint32(nil, uint32(len(s)))) + s
}

func num(n int64) string {
	return "\x8a\x08" + string(binary.LittleEndian.AppendUint64(nil, uint64(n)))
}

func nums(n ...int64) string {
	var b strings.Builder
	for _, v := range n {
		b.WriteString(num(v))
	}
	return "(" + b.String() + "t"
}

func storageOf(class, key string, n int64) string {
	return "(" + str("storage") + "ctorch\n" + class + "\n" + str(key) + str("cpu") + num(n) + "tQ"
}

func tensorOf(storage string, offset int64, shape, strides string) string {
	return "ctorch._utils\n_rebuild_tensor_v2\n(" + storage + num(offset) + shape + strides + "\x89)tR"
}

// float4 is a tensor of the four ones that torchZip has as "0".
func float4() string { return tensorOf(storageOf("FloatStorage", "0", 4), 0, nums(4), nums(1)) }

func dictOf(pairs ...string) string { return "}(" + strings.Join(pairs, "") + "u" }

// view4 is a state_dict with one view of that storage.
func view4(offset int64, shape, strides string) string {
	return dictOf(str("w"), tensorOf(storageOf("FloatStorage", "0", 4), offset, shape, strides)) + "."
}

func TestReadPickles(t *testing.T) {
	for name, c := range map[string]struct{ pickle, section, names string }{
		"plain":            {dictOf(str("w"), float4()) + ".", "", "w"},
		"setitem":          {"}" + str("w") + float4() + "s.", "", "w"},
		"dict opcode":      {"(" + str("w") + float4() + "d.", "", "w"},
		"python 2":         {"}U\x01w" + float4() + "s.", "", "w"},
		"attributes":       {dictOf(str("w"), float4()) + dictOf(str("_metadata"), "}") + "b.", "", "w"},
		"averages first":   {dictOf(str("model"), dictOf(str("a"), float4()), str("state_dict_ema"), dictOf(str("b"), float4())) + ".", "state_dict_ema", "b"},
		"averages None":    {dictOf(str("model"), dictOf(str("a"), float4()), str("model_ema"), "N") + ".", "model", "a"},
		"section's tensor": {dictOf(str("model"), float4()) + ".", "", "model"},
		"nested":           {dictOf(str("model"), dictOf(str("state_dict"), dictOf(str("w"), float4()))) + ".", "model.state_dict", "w"},
		"the only one":     {dictOf(str("params"), dictOf(str("w"), float4()), str("epoch"), "K\x01") + ".", "params", "w"},
		"a tensor beside":  {dictOf(str("w"), float4(), str("a"), "N", str("b"), "N", str("c"), "N") + ".", "", "w"},
		"call":             {dictOf(str("w"), float4(), str("x"), "cos\nsystem\n("+str("echo")+"tR") + ".", "", "w"},
		"call by stack":    {dictOf(str("w"), float4(), str("x"), str("posix")+str("system")+"\x93)R") + ".", "", "w"},
		"call by INST":     {dictOf(str("w"), float4(), str("x"), "("+str("echo")+"ios\nsystem\n") + ".", "", "w"},
		"call by OBJ":      {dictOf(str("w"), float4(), str("x"), "(cos\nsystem\n"+str("echo")+"o") + ".", "", "w"},
		"new object":       {dictOf(str("w"), float4(), str("x"), "cargparse\nNamespace\n)\x81"+dictOf(str("lr"), "N")+"b") + ".", "", "w"},
		"named arguments":  {dictOf(str("w"), float4(), str("x"), "cm\nC\n)}\x92") + ".", "", "w"},
		"dict of a class":  {"cm\nAttributeDict\n)\x81(" + str("w") + float4() + "u.", "", "w"},
		"list of a class":  {dictOf(str("w"), float4(), str("x"), "cm\nL\n)\x81Na(NNe") + ".", "", "w"},
		"OrderedDict of 2": {"ccollections\nOrderedDict\n](](" + str("w") + float4() + "ee\x85R.", "", "w"},
		"unknown storage":  {dictOf(str("w"), float4(), str("x"), tensorOf(storageOf("ComplexFloatStorage", "1", 4), 0, nums(4), nums(1))) + ".", "", "w"},
		"Counter":          {dictOf(str("w"), float4(), str("x"), "ccollections\nCounter\n"+dictOf(str("a"), "K\x01")+"\x85R") + ".", "", "w"},
		"defaultdict":      {"ccollections\ndefaultdict\nc__builtin__\nlist\n\x85R(" + str("w") + float4() + "u.", "", "w"},
		"module of itself": {"cm\nM\n)\x81q\x00" + dictOf(str("_parameters"), dictOf(str("w"), float4()), str("_modules"), "}") + "b.", "", "w"},
		"itself inside":    {"}q\x00(" + str("me") + "h\x00" + str("model") + dictOf(str("w"), float4()) + "u.", "model", "w"},
		"list of itself":   {"}(" + str("l") + "]q\x00h\x00a" + str("net") + dictOf(str("w"), float4()) + "u.", "net", "w"},
	} {
		content := torchZip("\x80\x02" + c.pickle)
		got, err := decode(bytes.NewReader(content), int64(len(content)), false)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		names := make([]string, 0, 2)
		for _, tensor := range got.Tensors {
			names = append(names, tensor.Name)
			if !slices.Equal(tensor.Data, []float32{1, 1, 1, 1}) {
				t.Errorf("%s: %v", name, tensor.Data)
			}
		}
		if got.Section != c.section || strings.Join(names, " ") != c.names {
			t.Errorf("%s: %q in section %q, want %q in %q", name, names, got.Section, c.names, c.section)
		}
	}
}

func TestReadRefusesPickles(t *testing.T) {
	const huge = 1 << 31
	for name, c := range map[string]struct{ pickle, want string }{
		"nothing":           {"", "truncated"},
		"no object":         {".", "the stack is empty"},
		"only a call":       {"cos\nsystem\n(" + str("echo") + "tR.", `holds an object of "os.system", not`},
		"only a name":       {"c__builtin__\neval\n.", "holds a name, not"},
		"INST of a storage": {"(itorch\nFloatStorage\n.", "a call of what is no function"},
		"OBJ of nothing":    {"(o.", "an object without a class"},
		"itself inside":     {"cm\nM\n)\x81q\x00" + dictOf(str("_modules"), dictOf(str("m"), "h\x00"), str("_parameters"), dictOf(str("w"), float4())) + "b.", `holds an object of "m.M", not`},
		"from itself":       {"ctorch._tensor\n_rebuild_from_type_v2\nq\x00(h\x00N)tR.", "calls itself"},
		"class as function": {"ctorch\nFloatStorage\n)R.", "a call of what is no function"},
		"call a number":     {"K\x01)R.", "a call of what is no function"},
		"endless name":      {"c" + strings.Repeat("a", 5000), "a line without end"},
		"unknown opcode":    {"N\xfe.", "malformed pickle at byte 3: opcode 0xfe"},
		"object opcode":     {"N\x81.", "the stack is empty"},
		"protocol":          {"\x80\x09N.", "protocol 9"},
		"underflow":         {"a.", "the stack is empty"},
		"below a mark":      {"N(0.", "the stack is empty"},
		"no mark":           {"t.", "no mark"},
		"no memo":           {"h\x07.", "nothing was stored as 7"},
		"append to None":    {"NNa.", "no list"},
		"set in None":       {"NNNs.", "no dict"},
		"no value":          {"}(Nu.", "has no value"},
		"attributes":        {"N}b.", "attributes"},
		"deep":              {strings.Repeat("(", 2000) + ".", "more than 1024 marks"},
		"high":              {strings.Repeat("N", 70000) + ".", "more than 65536 values"},
		"long":              {strings.Repeat("N0", 2<<20), "more than 2097152 opcodes"},
		"long string":       {"X\xff\xff\xff\xff", "a string of 4294967295 bytes"},
		"string cut":        {"X\xff\x00\x00\x00a", "truncated"},
		"negative string":   {"\x8e" + strings.Repeat("\xff", 8), "a string of 18446744073709551615"},

		"None":       {"N.", "holds None, not a dict of tensors"},
		"list":       {"]" + float4() + "a.", "holds a list"},
		"empty":      {"}.", "it is empty"},
		"keys":       {dictOf(str("epoch"), "K\x03", str("model"), dictOf(str("w"), "N"), "K\x01", "]") + ".", `it has "epoch": an int, "model": a dict, an int: a list`},
		"twice":      {dictOf(str("w"), float4(), str("w"), float4()) + ".", `has "w" twice`},
		"no strings": {dictOf("K\x01", float4()) + ".", "an int: a tensor"},

		"leaves":           {view4(0, nums(5), nums(1)), "leaves a storage of 4"},
		"leaves by stride": {view4(0, nums(2, 2), nums(3, 1)), "leaves a storage of 4"},
		"leaves by offset": {view4(1, nums(4), nums(1)), "leaves a storage of 4"},
		"offset":           {view4(5, nums(0), nums(1)), "starts at value 5"},
		"negative offset":  {view4(-1, nums(1), nums(1)), "starts at value -1"},
		"negative stride":  {view4(3, nums(4), nums(-1)), "strides [-1]"},
		"big stride":       {view4(0, nums(2), nums(1<<62)), "strides"},
		"strides overflow": {view4(0, nums(1<<31), nums(4)), "leaves"},
		"negative size":    {view4(0, nums(-4), nums(1)), "shape [-4]"},
		"size overflow":    {view4(0, nums(1<<32, 1<<32), nums(0, 0)), "shape"},
		"by rank":          {view4(0, nums(65536, 65536), nums(0, 0)), "shape"},
		"repeats":          {view4(0, nums(huge), nums(0)), "makes 2147483648 values or more of the 4"},
		"rank":             {view4(0, nums(1, 1, 1, 1, 1, 1, 1, 1, 1), nums(1, 1, 1, 1, 1, 1, 1, 1, 1)), "sizes and strides"},
		"fewer strides":    {view4(0, nums(2, 2), nums(1)), "2 sizes and 1 strides"},
		"no tuple":         {view4(0, "K\x04", nums(1)), "sizes and strides"},
		"few arguments":    {"ctorch._utils\n_rebuild_tensor_v2\n)R.", "0 arguments"},

		"no storage":      {dictOf(str("w"), tensorOf(storageOf("FloatStorage", "2", 4), 0, nums(4), nums(1))) + ".", `lacks its part "data/2"`},
		"outside":         {dictOf(str("w"), tensorOf(storageOf("FloatStorage", "../data.pkl", 4), 0, nums(4), nums(1))) + ".", "lacks its part"},
		"storage short":   {dictOf(str("w"), tensorOf(storageOf("FloatStorage", "0", 5), 0, nums(4), nums(1))) + ".", "has 16 bytes in storage"},
		"storage long":    {dictOf(str("w"), tensorOf(storageOf("FloatStorage", "0", 3), 0, nums(3), nums(1))) + ".", "16 bytes, more than 12"},
		"storage huge":    {dictOf(str("w"), tensorOf(storageOf("FloatStorage", "0", huge), 0, nums(huge), nums(1))) + ".", "has 16 bytes in storage"},
		"storage huger":   {storageOf("FloatStorage", "0", 1<<40), "of 1099511627776 values"},
		"storage changes": {storageOf("FloatStorage", "0", 4) + storageOf("HalfStorage", "0", 4), "then 4 of float16"},
		"no class":        {"(" + str("storage") + "N" + str("0") + str("cpu") + "K\x04tQ.", "not a storage"},
		"old view":        {"(" + str("storage") + "ctorch\nFloatStorage\n" + str("0") + str("cpu") + "K\x04)tQ.", "not a storage"},
		"module":          {"(" + str("module") + "NNNtQ.", "not a storage"},
	} {
		expect(t, name, torchZip("\x80\x02"+c.pickle), c.want)
	}
}

func TestReadRefusesStreams(t *testing.T) {
	object := "\x80\x02" + dictOf(str("w"), tensorOf(storageOf("FloatStorage", "0", 1), 0, nums(1), nums(1))) + "."
	keys := "\x80\x02]" + str("0") + "a."
	count := func(n uint64) string { return string(binary.LittleEndian.AppendUint64(nil, n)) }
	for name, c := range map[string]struct{ content, want string }{
		"bare pickle":   {object, "is a pickle that torch.save did not write"},
		"bare dict":     {"\x80\x02}.", "is a pickle that torch.save did not write"},
		"bare number":   {"\x80\x02K\x01.", "is a pickle that torch.save did not write"},
		"version":       {strings.Replace(preamble, "M\xe9\x03", "M\xea\x03", 1), "unknown version"},
		"big-endian":    {strings.TrimSuffix(preamble, "}.") + dictOf(str("little_endian"), "\x89") + ".", "byte order"},
		"no object":     {preamble, "truncated"},
		"no keys":       {preamble + object, "truncated"},
		"keys no list":  {preamble + object + "\x80\x02N.", "has None where the keys"},
		"unknown key":   {preamble + object + "\x80\x02]" + str("7") + "a.", `storage "7" that no tensor uses`},
		"key twice":     {preamble + object + "\x80\x02](" + str("0") + str("0") + "e." + count(1) + "abcd", "or twice"},
		"absent key":    {preamble + object + "\x80\x02].", `lacks its storage "0"`},
		"no count":      {preamble + object + keys + "abcd", "truncated"},
		"other count":   {preamble + object + keys + count(2) + "abcdefgh", "has 2 values"},
		"no values":     {preamble + object + keys + count(1) + "abc", "truncated: "},
		"huge count":    {preamble + object + keys + count(1<<63) + "abcd", "has -9223372036854775808 values"},
		"code in place": {preamble + "\x80\x02cos\nsystem\n)R." + keys, "that no tensor uses"},
	} {
		expect(t, name, []byte(c.content), c.want)
	}
	content := []byte(preamble + object + keys + count(1) + "\x00\x00\x80\x3f")
	got, err := decode(bytes.NewReader(content), int64(len(content)), false)
	if err != nil || fmt.Sprint(got.Tensors) != "[{w [1] [1]}]" {
		t.Errorf("%v, %v; the cases above must fail for their own reason", got, err)
	}
}

func TestReadRefusesZips(t *testing.T) {
	pickle := "\x80\x02" + dictOf(str("w"), float4()) + "."
	files := map[string]string{"x/data.pkl": pickle, "x/data/0": strings.Repeat("\x00", 16), "x/byteorder": "big"}
	expect(t, "byte order", zipOf(files), `has byte order "big"`)

	content := torchZip(pickle)
	expect(t, "twice", bytes.ReplaceAll(content, []byte("x/data/1"), []byte("x/data/0")), "twice")
	// The second storage's entry in the directory leads to the first's bytes.
	directory := bytes.LastIndex(content, []byte("x/data/0")) - 46
	second := bytes.LastIndex(content, []byte("x/data/1")) - 46
	copy(content[second+42:second+46], content[directory+42:directory+46])
	expect(t, "overlap", content, "overlap")
	// Its sizes lie.
	for _, at := range []int{20, 24} {
		content = torchZip(pickle)
		le.PutUint32(content[directory+at:], 12)
		expect(t, "size", content, "")
		le.PutUint32(content[directory+at:], 1<<31-1)
		expect(t, "huge size", content, "zip")
	}
}

// TestReadBomb reads a zip of zeros, which would take a thousand times its size.
func TestReadBomb(t *testing.T) {
	const n = 64 << 20
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for name, content := range map[string][]byte{
		"x/data.pkl": []byte("\x80\x02" + dictOf(str("w"), tensorOf(storageOf("ByteStorage", "0", n), 0, nums(n), nums(1))) + "."),
		"x/data/0":   make([]byte, n),
	} {
		w, err := z.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	expect(t, "bomb", b.Bytes(), "unpacks to more than 16 times its size")
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > n/8 {
		t.Errorf("refusing it took %d bytes", took)
	}
}

// try decodes any bytes: a *checkpoint.Error, or tensors that are whole.
func try(t *testing.T, content []byte) {
	t.Helper()
	got, err := decode(bytes.NewReader(content), int64(len(content)), false)
	if err != nil {
		if e := (*checkpoint.Error)(nil); !errors.As(err, &e) {
			t.Fatalf("%T: %v", err, err)
		}
		return
	}
	for _, tensor := range got.Tensors {
		n := 1
		for _, d := range tensor.Shape {
			n *= d
		}
		if n != len(tensor.Data) {
			t.Fatalf("%q has %d values and shape %v", tensor.Name, len(tensor.Data), tensor.Shape)
		}
	}
}

// FuzzRead reads whole files, zips and streams.
func FuzzRead(f *testing.F) {
	names, err := filepath.Glob("testdata/*.pth")
	if err != nil || len(names) == 0 {
		f.Fatal(names, err)
	}
	for _, name := range names {
		content, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(content)
	}
	f.Fuzz(try)
}

// FuzzPickle reads zips and streams around any pickle, whose checksums and head
// FuzzRead would have to guess.
func FuzzPickle(f *testing.F) {
	f.Add([]byte("\x80\x02" + dictOf(str("w"), float4()) + "."))
	f.Add([]byte("\x80\x02" + view4(1, nums(1, 3), nums(0, 1))))
	f.Add([]byte("\x80\x04\x95\x08\x00\x00\x00\x00\x00\x00\x00]\x94(K\x01N\x88el\x85h\x00\x86."))
	f.Add([]byte("\x80\x02}q\x00(" + str("me") + "h\x00" + str("model") + dictOf(str("w"), float4()) + "ub."))
	f.Fuzz(func(t *testing.T, pickle []byte) {
		try(t, torchZip(string(pickle)))
		try(t, append([]byte(preamble), pickle...))
	})
}
