package onnx

import (
	"fmt"
	"testing"

	"effnet/internal/scale"

	"google.golang.org/protobuf/encoding/protowire"
)

// The messages within each message, by its field.
var within = map[string]map[protowire.Number]string{
	"model": {modelGraph: "graph", modelOpset: "opset", modelMetadata: "entry"},
	"graph": {graphNode: "node", graphInitializer: "tensor", graphInput: "info", graphOutput: "info"},
	"node":  {nodeAttribute: "attribute"},
	"info":  {infoType: "type"},
	"type":  {typeTensor: "tensor type"},

	"tensor type": {typeShape: "shape"},
	"shape":       {shapeDim: "dimension"},
}

// fieldsInOrder says where the fields of a message are not in the order of their numbers.
func fieldsInOrder(kind string, b []byte) error {
	var last protowire.Number
	for len(b) > 0 {
		number, _, n := protowire.ConsumeField(b)
		if n < 0 {
			return fmt.Errorf("%s: %w", kind, protowire.ParseError(n))
		}
		if number < last {
			return fmt.Errorf("%s: field %d comes after %d", kind, number, last)
		}
		if inner := within[kind][number]; inner != "" {
			_, _, tag := protowire.ConsumeTag(b)
			content, _ := protowire.ConsumeBytes(b[tag:])
			if err := fieldsInOrder(inner, content); err != nil {
				return fmt.Errorf("%s: %w", kind, err)
			}
		}
		last, b = number, b[n:]
	}
	return nil
}

// OpenVINO recognises a file by its first field, and takes them in order.
func TestFieldsAreInOrder(t *testing.T) {
	n := newNetwork(t, changed(variant(t, "b0"), func(a *scale.Arch) { a.Resolution, a.Classes = 64, 5 }))
	for how, opt := range options {
		file := n.export(t, opt)
		if err := fieldsInOrder("model", file); err != nil {
			t.Errorf("%s: %v", how, err)
		}
	}
	var metadataFirst message
	metadataFirst.text(modelMetadata, "")
	metadataFirst.number(modelIRVersion, irVersion)
	if fieldsInOrder("model", metadataFirst) == nil {
		t.Error("fields in another order are not found")
	}
}
