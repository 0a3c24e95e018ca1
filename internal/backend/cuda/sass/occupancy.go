package sass

import "fmt"

// limits are those of a multiprocessor.
type limits struct {
	warps, blocks int
	shared        int // bytes
}

// byArchitecture are the limits of the CUDA C++ Programming Guide, "Compute
// Capabilities", table "Technical Specifications per Compute Capability".
var byArchitecture = map[string]limits{
	"sm_80":  {warps: 64, blocks: 32, shared: 164 << 10},
	"sm_90":  {warps: 64, blocks: 32, shared: 228 << 10},
	"sm_100": {warps: 64, blocks: 32, shared: 228 << 10},
}

// The same table has what is alike in all of them, but for the units in which memory
// is given out: those are cuda_occupancy.h's.
const (
	warpThreads   = 32
	registers     = 65536 // of a multiprocessor, in four parts of as many warps each
	parts         = 4
	registerUnit  = 256  // registers of a warp are a multiple of it
	sharedUnit    = 128  // bytes of a block are a multiple of it
	sharedOfBlock = 1024 // bytes that the system takes of each block
)

// Occupancy is how many blocks of a number of threads a multiprocessor holds at once, and
// which share of the warps that it could hold these are.
func Occupancy(architecture string, k Kernel, threads int) (blocks int, share float64, err error) {
	l, ok := byArchitecture[architecture]
	if !ok {
		return 0, 0, fmt.Errorf("the limits of %s are not known", architecture)
	}
	warps := (threads + warpThreads - 1) / warpThreads
	ofWarp := roundUp(k.Registers*warpThreads, registerUnit)
	blocks = min(l.blocks, l.warps/warps,
		registers/parts/ofWarp*parts/warps, // a warp's registers lie in one part
		l.shared/roundUp(k.Shared+sharedOfBlock, sharedUnit))
	return blocks, float64(blocks*warps) / float64(l.warps), nil
}

func roundUp(n, unit int) int { return (n + unit - 1) / unit * unit }
