package cpu

import "effnet/internal/backend"

// prepared is what Prepare made of weights, for the backends of one Split.
type prepared map[preparedKey]any

// preparedKey says what was made: of weights at an address, folded with the
// statistics at another or none, cut at that many places.
type preparedKey struct {
	weights, stats *float32
	size, cuts     int
}

// Split implements backend.Splitter.
func (b *Backend) Split(n int) []backend.Backend {
	all := make([]backend.Backend, min(n, b.pool.threads))
	shared := prepared{}
	for i := range all {
		all[i] = &Backend{set: b.set, pool: newPool(1), shared: shared, maps: b.maps}
	}
	return all
}

// Each implements backend.Splitter.
func (b *Backend) Each(n int, task func(worker, i int)) { b.pool.run(n, task) }

// share returns what another backend of the same Split has made under a key, or
// creates it.
func share[T any](b *Backend, key preparedKey, create func() T) T {
	if v, ok := b.shared[key].(T); ok {
		return v
	}
	v := create()
	if b.shared != nil {
		b.shared[key] = v
	}
	return v
}
