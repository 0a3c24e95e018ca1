// Package torchfile reads the tensors of a file that PyTorch's torch.save wrote:
// a state_dict, a dict that holds one, or a module. Such files are pickles, which are
// programs that can call any function of Python. Here a small machine of our own
// runs them, which knows dicts, tensors and the like. A class or a function that it
// does not know is a name, and what is made by it an object that holds nothing, so that
// nothing of a file is ever executed.
//
// Two containers are read: the zip archive that torch.save has written since
// PyTorch 1.6 (archive/data.pkl and archive/data/KEY, a file a storage), and the
// stream before it (a magic number, the pickle and the storages). The formats are
// those of PyTorch's torch/serialization.py and of Python's pickletools.
package torchfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"effnet/internal/checkpoint"
	"effnet/internal/named"
)

// Limits that no EfficientNet reaches; every other allocation is bounded by the
// file's size.
const (
	maxFloats = 1 << 31  // of a storage, and of all tensors; L2 has 0.48e9
	maxRank   = 8        // of a tensor
	maxPickle = 64 << 20 // bytes; a B7 with optimizer and running averages takes under 1 MB
	maxOps    = 1 << 21  // opcodes of a pickle; a tensor takes about 30
	maxStack  = 1 << 16  // values; Python's pickler leaves it after 1000
	maxMarks  = 1 << 10  // open dicts, lists and tuples inside each other
	maxString = 1 << 20  // bytes
	maxGlobal = 1 << 8   // bytes of a module's or a class's name
	maxRatio  = 16       // a zip's bytes unpacked to its size; of trained weights it is about 1
	maxModule = 1 << 15  // tensors and modules of a module
	maxDepth  = 32       // modules inside each other

	maxSections = 3 // dicts inside each other in which a state_dict is looked for

	maxReuse = 2       // how often tensors may show the values of their storage
	slack    = 1 << 20 // bytes or values that the two limits above leave to small files
)

const (
	resave = `save the state_dict alone: torch.save(model.state_dict(), "weights.pth")`
	again  = "copy or download it again"
)

// File is what a PyTorch file holds of tensors.
type File struct {
	Tensors  []named.Tensor // in the file's order; names as in the state_dict
	Section  string         // the key under which the state_dict lay, "" for the whole file; "a.b" is b in a
	Averages bool           // Section has running averages of the weights
	Other    string         // the section that has the weights where this has averages, or the averages; "" if there is none
	Others   []string       // the keys that were not read
}

// Read loads the tensors of the file's state_dict as float32 in C order. The
// state_dict is the file's own dict if its values are tensors, and otherwise
// the first of these keys that leads to such a dict: state_dict_ema, model_ema,
// ema_state_dict, ema (running averages of the weights), state_dict,
// model_state_dict, model, net, network, weights. With plain the averages come last.
// One of these may lie in another, and a module stands for its state_dict; a dict under
// any other key is taken if it is the only one. num_batches_tracked and
// n_averaged, which count steps, are skipped.
//
// Nothing is allocated before the file's size or a limit bounds it. Every fault
// of the file is a *checkpoint.Error.
func Read(path string, plain bool) (*File, error) {
	f, size, err := checkpoint.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	file, err := decode(f, size, plain)
	if e := (*checkpoint.Error)(nil); errors.As(err, &e) {
		e.Path = path
	}
	return file, err
}

// container is where a file keeps the storages' bytes.
type container interface {
	// bytes returns those of a storage, as many as it declares.
	bytes(s *storage) ([]byte, error)
}

// decode reads a file of size bytes. Its errors are *checkpoint.Error without a
// path.
func decode(r io.ReaderAt, size int64, plain bool) (*File, error) {
	head := make([]byte, min(size, checkpoint.MistakenBytes))
	if _, err := io.ReadFull(io.NewSectionReader(r, 0, size), head); err != nil {
		return nil, &checkpoint.Error{Reason: "cannot be read", Err: err}
	}
	if e := checkpoint.Mistaken(head); e != nil {
		return nil, e
	}
	var object any
	var c container
	var err error
	switch {
	case bytes.HasPrefix(head, []byte("PK\x03\x04")):
		object, c, err = openArchive(r, size)
	case bytes.HasPrefix(head, []byte{0x80}):
		object, c, err = openStream(r, size)
	default:
		err = &checkpoint.Error{Reason: "is not a PyTorch file", Hint: resave}
	}
	if err != nil {
		return nil, fault(err, "cannot be read")
	}
	return extract(object, c, plain)
}

// extract reads the tensors of the state_dict in a file's object.
func extract(object any, c container, plain bool) (*File, error) {
	file, views, err := choose(object, plain)
	if err != nil {
		return nil, err
	}
	if err := load(file.Tensors, views, c); err != nil {
		return nil, fault(err, "cannot be read")
	}
	return file, nil
}

// fault makes err a *checkpoint.Error, which it may be already.
func fault(err error, reason string) error {
	if e := (*checkpoint.Error)(nil); errors.As(err, &e) {
		return e
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return &checkpoint.Error{Reason: "is truncated", Hint: again, Err: err}
	}
	return &checkpoint.Error{Reason: reason, Err: err}
}

func faultf(hint, format string, args ...any) *checkpoint.Error {
	return &checkpoint.Error{Reason: fmt.Sprintf(format, args...), Hint: hint}
}
