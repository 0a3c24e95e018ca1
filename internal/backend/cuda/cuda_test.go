package cuda

import (
	"testing"

	"effnet/internal/backend/backendtest"
)

func TestBackend(t *testing.T) {
	b, _ := emulated(t)
	backendtest.Test(t, b, 2e-5)
}
