// Package npz writes a network's weights in the order and the layouts of Keras'
// EfficientNetB0 to B7 (keras.applications), as numpy's .npz file. With Keras and
// numpy a program loads it so:
//
//	model = keras.applications.EfficientNetB0(
//	    weights=None, input_shape=(R, R, 3), classes=N, classifier_activation=None)
//	z = numpy.load("b0.npz")
//	model.set_weights([z[k] for k in z.files])
//	model.get_layer("normalization").finalize_state()
//	logits = model(pixels)
//
// The first three arrays are of Keras' own normalization layer, which takes what its
// rescaling made of pixels, [N,R,R,3] of 0 to 255, and has no effect before
// finalize_state. weights=None matters: with weights="imagenet" the model has a second
// rescaling.
//
// A network that is not Exact computes something else there.
package npz

import (
	"archive/zip"
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"strings"

	"effnet/internal/named"
	"effnet/internal/scale"
)

// BNEps is what Keras' networks add to the variances.
const BNEps = 1e-3

// Exact says whether Keras' networks, which pad as TensorFlow does, compute what
// this one does with the same weights.
func Exact(a scale.Arch) bool { return a.Padding == scale.Same && a.BNEps == BNEps }

// Write writes the network of a valid arch and tensors in timm's names and
// PyTorch's layouts. A weight that Keras calls "block1a_bn/gamma" is the file's
// array of that name: float32, kernels [K,K,In,Out], depthwise ones [K,K,C,1], the
// classifier's [In,Out].
//
// Beside the file's list of arrays, memory is a constant. Tensors that are not the
// network's are a *named.Mismatch; EfficientNetV2's fused blocks, which Keras'
// networks of this family do not have, are an error too.
// mean and std are of pixels of 0 to 255.
func Write(w io.Writer, arch scale.Arch, mean, std [3]float64, tensors []named.Tensor) error {
	if err := arch.Validate(); err != nil {
		return fmt.Errorf("npz: %w", err)
	}
	lookup, err := named.NewLookup(tensors)
	if err != nil {
		return err
	}
	l := &list{lookup: lookup}
	l.normalization(mean, std)
	if err := l.network(arch); err != nil {
		return err
	}
	z := zip.NewWriter(w)
	for _, a := range l.arrays {
		entry, err := z.CreateHeader(&zip.FileHeader{Name: a.name + ".npy", Method: zip.Store})
		if err != nil {
			return fmt.Errorf("npz: %w", err)
		}
		if err := a.write(entry); err != nil {
			return fmt.Errorf("npz: %w", err)
		}
	}
	if err := z.Close(); err != nil {
		return fmt.Errorf("npz: %w", err)
	}
	return nil
}

// array is one of Keras' weights.
type array struct {
	name  string
	shape []int
	data  []float32 // [out,in,area]
	out   int
	in    int
	area  int
}

// write writes the array as [area,in,out], in numpy's format of version 1.0
// (numpy.lib.format): a magic, the header's length, the header, padded so that the
// data begins at a multiple of 64 bytes, and the data.
func (a array) write(dst io.Writer) error {
	const prefix = 10
	header := fmt.Sprintf("{'descr': '<f4', 'fortran_order': False, 'shape': %s, }", tuple(a.shape))
	header += strings.Repeat(" ", 63-(prefix+len(header))%64) + "\n"
	w := bufio.NewWriterSize(dst, 1<<16)
	buf := binary.LittleEndian.AppendUint16([]byte("\x93NUMPY\x01\x00"), uint16(len(header)))
	_, _ = w.Write(append(buf, header...)) // Flush has the first error
	for k := range a.area {
		for i := range a.in {
			for o := range a.out {
				buf = binary.LittleEndian.AppendUint32(buf[:0], math.Float32bits(a.data[(o*a.in+i)*a.area+k]))
				_, _ = w.Write(buf)
			}
		}
	}
	return w.Flush()
}

// tuple is a shape as Python writes it: "(3, 4)", "(3,)".
func tuple(shape []int) string {
	var b strings.Builder
	for i, d := range shape {
		if i > 0 {
			b.WriteString(" ")
		}
		fmt.Fprintf(&b, "%d,", d)
	}
	text := b.String()
	if len(shape) > 1 {
		text = strings.TrimSuffix(text, ",")
	}
	return "(" + text + ")"
}
