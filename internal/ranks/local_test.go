package ranks_test

import (
	"errors"
	"sync"
	"testing"

	"effnet/internal/ranks"
	"effnet/internal/ranks/rankstest"
)

func TestLocalPassesTheSuite(t *testing.T) {
	for _, size := range []int{1, 2, 3, 5} {
		errs := make([]error, size)
		var wg sync.WaitGroup
		for rank, transport := range ranks.Local(size) {
			wg.Go(func() { errs[rank] = errors.Join(rankstest.Check(transport), transport.Close()) })
		}
		wg.Wait()
		if err := errors.Join(errs...); err != nil {
			t.Errorf("%d ranks: %v", size, err)
		}
	}
}
