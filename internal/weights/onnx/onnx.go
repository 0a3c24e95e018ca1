// Package onnx writes a network as an ONNX model, which ONNX Runtime, OpenVINO and other
// programs run: the forward pass of internal/model's graph, normalised by the
// running statistics.
//
// The format is onnx.proto of https://github.com/onnx/onnx (a ModelProto in
// Protocol Buffers' encoding); the operators are those of its docs/Operators.md
// at opset 17.
package onnx

import (
	"encoding/json"
	"fmt"
	"io"
	"math"

	"effnet/internal/checkpoint"
	"effnet/internal/named"
)

// What a reader must know: the version of the messages, and of the operators.
const (
	irVersion = 8
	Opset     = 17
)

// maxBytes is what Protocol Buffers allow a message, and so ONNX a file that has
// its weights inside.
const maxBytes = math.MaxInt32

// Options say what the graph holds.
type Options struct {
	// KeepBN leaves batch normalisations as they are; otherwise they become part
	// of the weights and biases of the convolutions before them.
	KeepBN bool
	// Preprocess makes the input "pixels", uint8 [batch,R,R,3], RGB in 0 to 255,
	// which the graph normalises itself. Otherwise it is "input", float32
	// [batch,3,R,R], normalised. Images are cropped and resized before either.
	Preprocess bool
	// Version of the program, stored as the producer's.
	Version string
}

// Input is the graph's input for people, such as "input float32 [batch,3,224,224]".
func (o Options) Input(resolution int) string {
	name, kind, shape := o.input(resolution)
	return fmt.Sprintf("%s %s [%v,%v,%v,%v]", name, kind, shape[0], shape[1], shape[2], shape[3])
}

func (o Options) input(resolution int) (name, kind string, shape []any) {
	if o.Preprocess {
		return "pixels", "uint8", []any{batch, resolution, resolution, 3}
	}
	return "input", "float32", []any{batch, 3, resolution, resolution}
}

// batch is the dimension that whoever runs the graph chooses.
const batch = "batch"

// Write writes the network of valid metadata and tensors in timm's names and
// PyTorch's layouts. The graph's output is "logits", float32 [batch,classes]. Its
// metadata_props are JSON: "classes", the names by index; "preprocess", how an
// image becomes the input; "arch", the scale.Arch.
//
// Weights are folded and encoded as they are written, so memory does not depend
// on the network's size. Tensors that are not the network's are a *named.Mismatch.
func Write(w io.Writer, meta *checkpoint.Meta, tensors []named.Tensor, opt Options) error {
	if err := meta.Arch.Validate(); err != nil {
		return fmt.Errorf("onnx: %w", err)
	}
	lookup, err := named.NewLookup(tensors)
	if err != nil {
		return err
	}
	b := &builder{arch: meta.Arch, opt: opt, lookup: lookup}
	b.network(meta.Preprocess)
	if b.err == nil {
		b.err = lookup.Rest()
	}
	if b.err != nil {
		return b.err
	}
	props, err := properties(meta)
	if err != nil {
		return fmt.Errorf("onnx: %w", err)
	}
	return b.write(w, props)
}

// properties are the metadata_props of a ModelProto.
func properties(meta *checkpoint.Meta) (m message, err error) {
	for _, p := range []struct {
		key   string
		value any
	}{{"classes", meta.Classes}, {"preprocess", meta.Preprocess}, {"arch", meta.Arch}} {
		text, err := json.Marshal(p.value)
		if err != nil {
			return nil, err
		}
		var entry message
		entry.text(entryKey, p.key)
		entry.text(entryValue, string(text))
		m.embed(modelMetadata, entry)
	}
	return m, nil
}

// write writes the model. Every message has its fields in the order of their numbers,
// which Protocol Buffers recommend and by which OpenVINO recognises a file.
func (b *builder) write(w io.Writer, props message) error {
	name, kind, shape := b.opt.input(b.arch.Resolution)
	before := b.nodes // in the graph, of the initializers
	before.text(graphName, b.arch.Name)
	after := make(message, 0, len(props)+1<<10)
	after.embed(graphInput, valueInfo(name, elementTypes[kind], shape))
	after.embed(graphOutput, valueInfo(output, elementTypes["float32"], []any{batch, b.arch.Classes}))
	size := int64(len(before) + len(after))
	for _, i := range b.initializers {
		size += i.size()
	}

	var model, opset message
	model.number(modelIRVersion, irVersion)
	model.text(modelProducer, "effnet")
	model.text(modelProducerVersion, b.opt.Version)
	model.open(modelGraph, size)
	opset.number(opsetVersion, Opset)
	after.embed(modelOpset, opset)
	after = append(after, props...)
	if total := int64(len(model)) + size + int64(len(after)); total > maxBytes {
		return fmt.Errorf("onnx: %s takes %d bytes: an ONNX file with its weights inside can have %d", b.arch.Name, total, maxBytes)
	}
	if _, err := w.Write(append(model, before...)); err != nil {
		return err
	}
	buf := make([]byte, 0, chunk)
	for _, i := range b.initializers {
		if err := i.write(w, buf); err != nil {
			return err
		}
	}
	_, err := w.Write(after)
	return err
}
