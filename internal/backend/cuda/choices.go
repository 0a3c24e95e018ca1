package cuda

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"effnet/internal/atomicfile"
	"effnet/internal/backend/cuda/driver"
)

// ChoiceEnv is set to have cuBLASLt's algorithms for each product timed, and the fastest
// taken, instead of the one that cuBLASLt thinks best. Another algorithm gives other last
// bits, so what was chosen is kept in the user's cache folder, for the card and the version
// of cuBLASLt, and by each run that resumes (backend.Chooser).
const ChoiceEnv = "EFFNET_CUDA_TIME_PRODUCTS"

// choices are the algorithms of products.
type choices struct {
	where string            // the card and the library
	path  string            // of the file that keeps all; "" for none
	kept  map[string]choice // what the file has, by product
	taken map[string]choice // what this process took, or a run before it
}

// choice is an algorithm and the time of it and of cuBLASLt's own, in seconds.
type choice struct {
	driver.Algorithm
	Best, First float64
}

// chosen is choices as a file has them.
type chosen struct {
	Where    string
	Products map[string]choice
}

// mostAlgorithms of a product are timed.
const mostAlgorithms = 8

// newChoices are those that a folder keeps for a device; "" for no folder. The error is of
// a file that cannot be used, which the next choice replaces.
func newChoices(d device, folder string) (*choices, error) {
	c := &choices{where: d.Name() + ", " + d.Products(), kept: map[string]choice{}, taken: map[string]choice{}}
	if folder == "" {
		return c, nil
	}
	sum := sha256.Sum256([]byte(c.where))
	c.path = filepath.Join(folder, "products-"+hex.EncodeToString(sum[:8])+".json")
	text, err := os.ReadFile(c.path)
	if errors.Is(err, os.ErrNotExist) {
		return c, nil
	}
	var all chosen
	if err == nil {
		all, err = readChoices(string(text))
	}
	if err == nil && all.Where == c.where {
		c.kept = all.Products
	}
	if err != nil {
		err = fmt.Errorf("%s: %w: products are timed again", c.path, err)
	}
	return c, err
}

// writeChoices is choices as text: a line with the hash of the rest.
func writeChoices(where string, products map[string]choice) string {
	text, err := json.MarshalIndent(chosen{where, products}, "", "\t")
	if err != nil {
		panic(err) // of finite numbers and strings
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]) + "\n" + string(text) + "\n"
}

// readChoices reads them.
func readChoices(text string) (all chosen, err error) {
	hash, rest, _ := strings.Cut(text, "\n")
	rest = strings.TrimSuffix(rest, "\n")
	if sum := sha256.Sum256([]byte(rest)); hash != hex.EncodeToString(sum[:]) {
		return all, errors.New("the algorithms of products were changed or cut short")
	}
	all.Products = map[string]choice{}
	return all, json.Unmarshal([]byte(rest), &all)
}

// Choices implements backend.Chooser.
func (b *Backend) Choices() string {
	if b.choices == nil {
		return ""
	}
	return writeChoices(b.choices.where, b.choices.taken)
}

// Choose implements backend.Chooser.
func (b *Backend) Choose(choices string) (note string) {
	if choices == "" {
		if b.choices != nil {
			note = ChoiceEnv + " is ignored: the run began without it"
		}
		b.choices = nil
		return note
	}
	if b.choices == nil { // the file is as it was: a run may be resumed without the variable
		b.choices, _ = newChoices(b.device, b.folder)
	}
	all, err := readChoices(choices)
	if err == nil && all.Where != b.choices.where {
		err = fmt.Errorf("the algorithms of products were timed on %s, and this is %s", all.Where, b.choices.where)
	}
	if err != nil {
		return fmt.Sprintf("%v: they are timed again, and results differ in the last bits", err)
	}
	b.choices.taken = all.Products
	return ""
}

// matmul makes a product ready, by the algorithm that was chosen for it.
func (b *Backend) matmul(m driver.Matmul) (driver.Product, error) {
	c := b.choices
	if c == nil {
		return b.device.Matmul(m)
	}
	key := fmt.Sprintf("%+v", m)
	for _, known := range []map[string]choice{c.taken, c.kept} {
		if by, ok := known[key]; ok {
			p, err := b.device.MatmulBy(m, by.Algorithm)
			if _, none := errors.AsType[*driver.NoAlgorithm](err); !none {
				c.taken[key] = by
				return p, err
			}
		}
	}
	by, err := b.fastest(m)
	if err != nil {
		return nil, err
	}
	c.taken[key], c.kept[key] = by, by
	if c.path != "" && os.MkdirAll(filepath.Dir(c.path), 0o777) == nil {
		_ = atomicfile.Write(c.path, func(f *os.File) error { // timing again is all that a lost cache costs
			_, err := f.WriteString(writeChoices(c.where, c.kept))
			return err
		})
	}
	p, err := b.device.MatmulBy(m, by.Algorithm)
	if _, none := errors.AsType[*driver.NoAlgorithm](err); none {
		return b.device.Matmul(m) // it is its own only with what the heuristic knew
	}
	return p, err
}

// A product is timed some times by each of its algorithms, which take turns. One that is
// not much faster than cuBLASLt's own is none: that is noise.
const (
	timings = 5
	faster  = 0.97
)

// fastest times a product's algorithms. If there is no room for its operands, it is
// cuBLASLt's own.
func (b *Backend) fastest(m driver.Matmul) (best choice, err error) {
	all, err := b.device.Algorithms(m, mostAlgorithms)
	if err != nil {
		return best, err
	}
	best.Algorithm = all[0]
	if len(all) == 1 {
		return best, nil
	}
	t, fits := b.newTrial(m)
	if !fits {
		return best, nil
	}
	seconds, err := t.time(all)
	if err = errors.Join(err, t.close()); err != nil {
		return best, err
	}
	best.First, best.Best = seconds[0], seconds[0]
	for i, s := range seconds {
		if s > 0 && s < faster*best.First && s < best.Best {
			best.Algorithm, best.Best = all[i], s
		}
	}
	return best, nil
}

// trial is a product with operands of its own.
type trial struct {
	b            *Backend
	m            driver.Matmul
	memory       driver.Pointer
	bytes        int64
	y, bias, sum driver.Pointer // what follows the left factor in memory
	products     []driver.Product
	numbers      []int // of their algorithms
	queue        []func()
	failed       error
}

// newTrial allocates the operands, unless the card is too full.
func (b *Backend) newTrial(m driver.Matmul) (t *trial, fits bool) {
	rows, width := m.M, m.K
	if m.TransA {
		rows, width = m.K, m.M
	}
	size := func(values int, t driver.Type) driver.Pointer {
		return driver.Pointer((int64(t.Size())*int64(values) + alignment - 1) / alignment * alignment)
	}
	t = &trial{b: b, m: m}
	t.y = size(rows*max(width, m.StrideA), m.In)
	t.bias = t.y + size(m.K*m.N, m.In)
	t.sum = t.bias + size(m.N, m.Out)
	t.bytes = int64(t.sum + size(m.M*m.N, m.Out))
	var err error
	t.memory, err = b.allocate(t.bytes)
	return t, err == nil
}

func (t *trial) close() (err error) {
	for _, p := range t.products {
		err = errors.Join(err, p.Close())
	}
	return errors.Join(err, t.b.device.Free(t.memory))
}

// time returns the median of each algorithm's times; 0 for one that cannot be used.
func (t *trial) time(all []driver.Algorithm) ([]float64, error) {
	if err := t.b.device.Clear(t.memory, t.bytes); err != nil {
		return nil, err
	}
	for i, by := range all {
		p, err := t.b.device.MatmulBy(t.m, by)
		if _, none := errors.AsType[*driver.NoAlgorithm](err); none {
			continue
		}
		if err != nil {
			return nil, err
		}
		t.products, t.numbers = append(t.products, p), append(t.numbers, i)
	}
	run := func(p driver.Product) func() {
		return func() {
			t.failed = errors.Join(t.failed, p.Run(t.memory, t.memory+t.y, t.memory+t.bias, t.memory+t.sum, t.memory+t.sum))
		}
	}
	for range timings + 1 { // the first is to warm up
		for _, p := range t.products {
			t.queue = append(t.queue, run(p))
		}
	}
	took, err := t.b.device.Time(t.queue)
	if err = errors.Join(t.failed, err); err != nil {
		return nil, err
	}
	seconds := make([]float64, len(all))
	for k, i := range t.numbers {
		var of []float64
		for turn := 1; turn <= timings; turn++ {
			of = append(of, took[turn*len(t.products)+k])
		}
		slices.Sort(of)
		seconds[i] = of[timings/2]
	}
	return seconds, nil
}
