package data

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"sync"

	"effnet/internal/atomicfile"
)

// PackInfo says what Pack has written.
type PackInfo struct {
	Path    string      `json:"path"`
	Bytes   int64       `json:"bytes"`
	Classes int         `json:"classes"`
	Splits  []SplitInfo `json:"splits"`
}

// SplitInfo counts the images of a split.
type SplitInfo struct {
	Name    string `json:"name"` // "" where the source has no splits
	Images  int    `json:"images"`
	Skipped int    `json:"left_out"`
}

// Pack writes the training and the evaluation images of the folder dir, or those
// of a folder without splits, to one file at path, whole or not at all. An
// existing pack is replaced, any other file is an *Error. What it writes depends
// on the images and the options only, not on the number of workers. It holds a
// few images a worker in memory, and the index.
func Pack(ctx context.Context, dir, path string, opt PackOptions) (*PackInfo, error) {
	if err := opt.Validate(); err != nil {
		return nil, fmt.Errorf("data: pack: %w", err)
	}
	if _, err := os.Lstat(path); err == nil && !isPack(path) {
		return nil, &Error{Path: path, Reason: "exists and is not a pack", Hint: "choose another name"}
	}
	w := &packWriter{opt: opt}
	if err := w.survey(dir); err != nil {
		return nil, err
	}
	err := atomicfile.Write(path, func(f *os.File) error { return w.write(ctx, f) })
	if _, ok := errors.AsType[*Error](err); ok || ctx.Err() != nil {
		return nil, err
	}
	if err != nil {
		return nil, fmt.Errorf("data: writing %s: %w", path, err)
	}
	info := &PackInfo{Path: path, Bytes: w.end, Classes: len(w.meta.Classes)}
	for _, s := range w.meta.Splits {
		info.Splits = append(info.Splits, SplitInfo{s.Name, s.Images, s.Skipped})
	}
	return info, nil
}

// A packWriter writes one pack.
type packWriter struct {
	opt     PackOptions
	meta    packMeta
	sets    []*Set // of meta.Splits
	total   int    // images of all sets
	data    int64  // where the data begins
	end     int64  // of the data so far
	done    int    // images so far, those skipped too
	entries []packEntry
	names   []byte
}

// survey lists the source and says how much space the head may take.
func (w *packWriter) survey(dir string) error {
	if err := w.list(dir); err != nil {
		return err
	}
	source, err := filepath.Abs(dir)
	if err != nil {
		return unreadable(dir, err)
	}
	w.meta.Source, w.meta.Options, w.meta.Oriented = fileName(source), w.opt, w.opt.Size > 0 && !w.opt.Raw
	for _, class := range w.sets[0].Classes {
		w.meta.Classes = append(w.meta.Classes, fileName(class))
	}
	var names int64
	for k, set := range w.sets {
		w.total += set.Len()
		for i := range set.Len() {
			names += int64(len(w.name(k, i)))
		}
	}
	meta, err := json.Marshal(w.meta)
	if err != nil {
		return fmt.Errorf("data: pack: %w", err)
	}
	const counts = 64 // bytes that a split's two counts may add to the metadata
	w.data = aligned(headerBytes + int64(len(meta)) + counts*int64(len(w.sets)) + entryBytes*int64(w.total) + names)
	w.end = w.data
	return nil
}

// list finds the splits of the source.
func (w *packWriter) list(dir string) error {
	if _, err := os.Stat(dir); err != nil {
		return unreadable(dir, err)
	}
	src := splits(dir)
	if !src.has("") {
		return &Error{Path: dir, Reason: "not a folder"}
	}
	var classes []string
	if src.has(trainSplit) {
		set, err := OpenTrain(dir)
		if err != nil {
			return err
		}
		classes = set.Classes
		if err := w.add(trainSplit, set); err != nil {
			return err
		}
	}
	name, err := evalSplit(src, dir)
	if err != nil {
		return nil //nolint:nilerr // there are training images alone
	}
	set, err := OpenEval(dir, classes)
	if err != nil {
		return err
	}
	return w.add(name, set)
}

func (w *packWriter) add(split string, set *Set) error {
	digest, err := fingerprint(set)
	w.sets = append(w.sets, set)
	w.meta.Splits = append(w.meta.Splits, packSplit{Name: split, Fingerprint: digest})
	return err
}

// name returns the name of image i of set k within its split.
func (w *packWriter) name(k, i int) string {
	set := w.sets[k]
	name, err := filepath.Rel(set.Dir, set.Path(i))
	if err != nil {
		return set.Path(i)
	}
	return filepath.ToSlash(name)
}

// write writes the data, then the head in the space before it.
func (w *packWriter) write(ctx context.Context, f *os.File) error {
	if _, err := f.Seek(w.data, io.SeekStart); err != nil {
		return err
	}
	out := bufio.NewWriterSize(f, 1<<20)
	if err := w.images(ctx, out); err != nil {
		return err
	}
	if err := out.Flush(); err != nil {
		return err
	}
	for k, s := range w.meta.Splits {
		if s.Images == 0 {
			return &Error{Path: w.sets[k].Dir, Reason: "none of its images can be used"}
		}
	}
	head, err := w.head()
	if err != nil {
		return err
	}
	_, err = f.WriteAt(head, 0)
	return err
}

// head returns what lies before the data.
func (w *packWriter) head() ([]byte, error) {
	meta, err := json.Marshal(w.meta)
	if err != nil {
		return nil, fmt.Errorf("data: pack: %w", err)
	}
	rest := make([]byte, 0, w.data-headerBytes)
	rest = append(rest, meta...)
	for _, e := range w.entries {
		rest = e.append(rest)
	}
	rest = append(rest, w.names...)
	if int64(len(rest)) > w.data-headerBytes {
		return nil, fmt.Errorf("data: pack: a head of %d bytes in a space of %d", len(rest), w.data-headerBytes)
	}
	rest = rest[:w.data-headerBytes]
	h := packHeader{version: packVersion, length: w.end, meta: int64(len(meta)), images: int64(len(w.entries)),
		names: int64(len(w.names)), data: w.data, headCRC: crc32.Checksum(rest, castagnoli)}
	return append(h.encode(), rest...), nil
}

// A packJob is an image on its way into a pack.
type packJob struct {
	set, i int
	image  record
	crc    uint32
	err    error
	made   chan struct{} // closed when the fields above are there
}

// images makes the images in parallel and writes them in order.
func (w *packWriter) images(ctx context.Context, out io.Writer) error {
	packers := make([]*packer, w.opt.Workers)
	for i := range packers {
		var err error
		if packers[i], err = newPacker(w.opt); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	work, ordered := make(chan *packJob), make(chan *packJob, 2*w.opt.Workers)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	running.Go(func() { w.feed(ctx, work, ordered) })
	for _, p := range packers {
		running.Go(func() {
			for job := range work {
				job.image, job.err = p.pack(w.sets[job.set], job.i)
				job.crc = crc32.Checksum(job.image.data, castagnoli)
				close(job.made)
			}
		})
	}
	for job := range ordered {
		select {
		case <-job.made:
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := w.put(out, job); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// feed hands out the images in order, until ctx ends.
func (w *packWriter) feed(ctx context.Context, work, ordered chan<- *packJob) {
	defer close(work)
	defer close(ordered)
	for k, set := range w.sets {
		for i := range set.Len() {
			job := &packJob{set: k, i: i, made: make(chan struct{})}
			for _, to := range []chan<- *packJob{ordered, work} {
				select {
				case to <- job:
				case <-ctx.Done():
					return
				}
			}
		}
	}
}

// put writes an image, or leaves it out.
func (w *packWriter) put(out io.Writer, job *packJob) error {
	split := &w.meta.Splits[job.set]
	w.done++
	if w.opt.Progress != nil {
		defer w.opt.Progress(w.done, w.total)
	}
	if bad, ok := errors.AsType[*Error](job.err); ok && w.opt.Skipped != nil {
		w.opt.Skipped(bad)
		split.Skipped++
		return nil
	}
	if job.err != nil {
		return job.err
	}
	name := w.name(job.set, job.i)
	e := packEntry{off: aligned(w.end), size: int64(len(job.image.data)), name: int64(len(w.names)), nameLen: int32(len(name)),
		w: int32(job.image.w), h: int32(job.image.h), label: int32(w.sets[job.set].Label(job.i)), split: int32(job.set), crc: job.crc}
	var zeros [packAlign]byte
	if _, err := out.Write(zeros[:e.off-w.end]); err != nil {
		return err
	}
	if _, err := out.Write(job.image.data); err != nil {
		return err
	}
	w.end = e.off + e.size
	w.entries = append(w.entries, e)
	w.names = append(w.names, name...)
	split.Images++
	return nil
}
