package report

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// Events writes a file that TensorBoard reads: records (TensorFlow's TFRecord:
// length, data and a masked CRC-32C of each) of Event messages in Protocol
// Buffers' encoding (tensorflow/core/util/event.proto and
// tensorflow/core/framework/summary.proto).
type Events struct {
	w   io.WriteCloser
	now func() time.Time
}

// NewEvents starts an event file in a folder for a run that is at a step.
// TensorBoard reads all files of a folder as one run; from this one it learns to
// forget what earlier files have beyond the step.
func NewEvents(dir string, step int64) (*Events, error) {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	name := fmt.Sprintf("events.out.tfevents.%010d.%s.%d", time.Now().Unix(), host, os.Getpid())
	f, err := os.Create(filepath.Join(dir, name))
	if err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	e := &Events{f, time.Now}
	return e, e.start(step)
}

// start writes what a file begins with: the format's version, without which the
// second event means nothing, and SessionLog's START at the first void step.
func (e *Events) start(step int64) error {
	if err := e.write(field(nil, 3, []byte("brain.Event:2")), 0); err != nil {
		return err
	}
	void := step
	if step > 0 {
		void++ // the step itself is done
	}
	return e.write(field(nil, 7, number(nil, 1, 1)), void)
}

// Scalars writes values by their tags at a step.
func (e *Events) Scalars(step int64, values map[string]float64) error {
	var summary []byte
	for _, tag := range slices.Sorted(maps.Keys(values)) {
		value := field(nil, 1, []byte(tag))
		value = protowire.AppendTag(value, 2, protowire.Fixed32Type) // simple_value
		value = protowire.AppendFixed32(value, math.Float32bits(float32(values[tag])))
		summary = field(summary, 1, value)
	}
	return e.write(field(nil, 5, summary), step)
}

// Text writes Markdown under a tag.
func (e *Events) Text(tag, markdown string) error {
	plugin := field(nil, 1, field(nil, 1, []byte("text"))) // SummaryMetadata.plugin_data.plugin_name
	const stringType = 7                                   // DT_STRING
	shape := field(nil, 2, number(nil, 1, 1))              // one dimension of size 1
	tensor := field(number(nil, 1, stringType), 2, shape)
	tensor = field(tensor, 8, []byte(markdown))
	value := field(nil, 1, []byte(tag))
	value = field(value, 8, tensor)
	value = field(value, 9, plugin)
	return e.write(field(nil, 5, field(nil, 1, value)), 0)
}

// write adds a record: what, a message's field, with the time and the step.
func (e *Events) write(what []byte, step int64) error {
	event := protowire.AppendTag(nil, 1, protowire.Fixed64Type) // wall_time
	event = protowire.AppendFixed64(event, math.Float64bits(float64(e.now().UnixMicro())/1e6))
	if step != 0 { // a zero is omitted
		event = number(event, 2, uint64(step))
	}
	event = append(event, what...)
	record := binary.LittleEndian.AppendUint64(nil, uint64(len(event)))
	record = binary.LittleEndian.AppendUint32(record, masked(record))
	record = append(record, event...)
	record = binary.LittleEndian.AppendUint32(record, masked(event))
	if _, err := e.w.Write(record); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}

// Close closes the file.
func (e *Events) Close() error { return e.w.Close() }

// field appends a field that holds bytes.
func field(b []byte, num protowire.Number, content []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, num, protowire.BytesType), content)
}

// number appends a field that holds an integer.
func number(b []byte, num protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, num, protowire.VarintType), v)
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// masked is a CRC-32C rotated and shifted, as TFRecord stores it.
func masked(b []byte) uint32 {
	crc := crc32.Checksum(b, castagnoli)
	return (crc>>15 | crc<<17) + 0xa282ead8
}
