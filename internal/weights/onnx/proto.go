package onnx

import (
	"encoding/binary"
	"io"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// Fields of onnx.proto's messages.
const (
	modelIRVersion       = 1
	modelProducer        = 2
	modelProducerVersion = 3
	modelGraph           = 7
	modelOpset           = 8
	modelMetadata        = 14

	opsetVersion = 2

	entryKey   = 1 // StringStringEntryProto
	entryValue = 2

	graphNode        = 1
	graphName        = 2
	graphInitializer = 5
	graphInput       = 11
	graphOutput      = 12

	nodeInput     = 1
	nodeOutput    = 2
	nodeName      = 3
	nodeOp        = 4
	nodeAttribute = 5

	attributeName   = 1
	attributeFloat  = 2
	attributeInt    = 3
	attributeInts   = 8
	attributeTypeOf = 20

	tensorDims = 1
	tensorType = 2
	tensorName = 8
	tensorRaw  = 9

	infoName   = 1 // ValueInfoProto
	infoType   = 2
	typeTensor = 1 // TypeProto
	typeElem   = 1 // TypeProto.Tensor
	typeShape  = 2
	shapeDim   = 1 // TensorShapeProto
	dimValue   = 1
	dimParam   = 2
)

// AttributeProto.AttributeType's.
const (
	typeFloat = 1
	typeInt   = 2
	typeInts  = 7
)

// elementTypes are TensorProto.DataType's.
var elementTypes = map[string]int{"float32": float32Type, "uint8": 2}

const float32Type = 1

// message is a Protocol Buffers message under way.
type message []byte

func (m *message) number(field protowire.Number, v int) {
	*m = protowire.AppendTag(*m, field, protowire.VarintType)
	*m = protowire.AppendVarint(*m, uint64(v))
}

func (m *message) float(field protowire.Number, v float32) {
	*m = protowire.AppendTag(*m, field, protowire.Fixed32Type)
	*m = protowire.AppendFixed32(*m, math.Float32bits(v))
}

func (m *message) text(field protowire.Number, s string) { m.embed(field, message(s)) }

func (m *message) embed(field protowire.Number, content message) {
	m.open(field, int64(len(content)))
	*m = append(*m, content...)
}

// open begins a field of size bytes, which follow.
func (m *message) open(field protowire.Number, size int64) {
	*m = protowire.AppendTag(*m, field, protowire.BytesType)
	*m = protowire.AppendVarint(*m, uint64(size))
}

// attribute of a node: an int, a float32 or ints.
type attribute struct {
	name  string
	value any
}

func (a attribute) encode() (m message) {
	m.text(attributeName, a.name)
	switch v := a.value.(type) {
	case int:
		m.number(attributeInt, v)
		m.number(attributeTypeOf, typeInt)
	case float32:
		m.float(attributeFloat, v)
		m.number(attributeTypeOf, typeFloat)
	case []int:
		for _, i := range v {
			m.number(attributeInts, i)
		}
		m.number(attributeTypeOf, typeInts)
	}
	return m
}

// valueInfo describes an input or output. A dimension is a number or a name.
func valueInfo(name string, element int, shape []any) (m message) {
	var dims, tensor, kind message
	for _, d := range shape {
		var dim message
		if n, ok := d.(int); ok {
			dim.number(dimValue, n)
		} else {
			dim.text(dimParam, d.(string))
		}
		dims.embed(shapeDim, dim)
	}
	tensor.number(typeElem, element)
	tensor.embed(typeShape, dims)
	kind.embed(typeTensor, tensor)
	m.text(infoName, name)
	m.embed(infoType, kind)
	return m
}

// initializer is a constant: data, each of dims[0] equal parts times its own
// factor where there are factors.
type initializer struct {
	name    string
	dims    []int
	data    []float32
	factors []float64
}

const chunk = 1 << 16 // bytes encoded at a time

// header is a TensorProto but for its data, which is last.
func (i initializer) header() (m message) {
	for _, d := range i.dims {
		m.number(tensorDims, d)
	}
	m.number(tensorType, float32Type)
	m.text(tensorName, i.name)
	m.open(tensorRaw, i.bytes())
	return m
}

// start is the field of a graph that holds the initializer, but for the data.
func (i initializer) start() (m message) {
	header := i.header()
	m.open(graphInitializer, int64(len(header))+i.bytes())
	return append(m, header...)
}

// bytes are those of the data.
func (i initializer) bytes() int64 {
	n := int64(4)
	for _, d := range i.dims {
		n *= int64(d)
	}
	return n
}

// size is the bytes that write writes.
func (i initializer) size() int64 { return int64(len(i.start())) + i.bytes() }

// write writes the field, by way of an empty buf.
func (i initializer) write(w io.Writer, buf []byte) error {
	if _, err := w.Write(i.start()); err != nil {
		return err
	}
	part := len(i.data) / max(1, len(i.factors))
	for k, v := range i.data {
		if i.factors != nil {
			v = float32(float64(v) * i.factors[k/part])
		}
		buf = binary.LittleEndian.AppendUint32(buf, math.Float32bits(v))
		if len(buf) == cap(buf) || k == len(i.data)-1 {
			if _, err := w.Write(buf); err != nil {
				return err
			}
			buf = buf[:0]
		}
	}
	return nil
}
