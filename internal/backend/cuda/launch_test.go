package cuda

import (
	"testing"

	"effnet/internal/backend"
)

// A thread has 16 bytes of a map where channels and addresses allow it, else one
// value.
func TestWidth(t *testing.T) {
	float, half := place{at: 256}, place{at: 512, dtype: backend.BFloat16}
	for _, c := range []struct {
		channels int
		operands []place
		want     int32
	}{
		{8, []place{float, float}, 4},
		{12, []place{float}, 4},
		{10, []place{float}, 1},
		{24, []place{half, float}, 8},
		{24, []place{float, half}, 8},
		{12, []place{half}, 1},
		{24, []place{half.part(8, 0), float.part(4, 0)}, 8},
		{24, []place{half.part(4, 0), float}, 1},
		{24, []place{half, float.part(1, 0)}, 1},
		{24, []place{half, {}}, 8},
	} {
		if got := vec(c.channels, c.operands...); got != c.want {
			t.Errorf("%d channels of %+v: %d at a time, want %d", c.channels, c.operands, got, c.want)
		}
	}
}

// Nearly all threads of a block have channels and rows, whatever the channels.
func TestColumns(t *testing.T) {
	for _, threads := range []int{emulatedThreads, maxThreads} {
		c := &compiler{Backend: &Backend{threads: threads}}
		for channels := 1; channels < 3000; channels++ {
			for _, vec := range []int{1, 4, 8} {
				if channels%vec > 0 {
					continue
				}
				over, across, down := c.columns(channels, int32(vec))
				if over*across*vec < channels || across*down > threads || down < 8 {
					t.Fatalf("%d channels by %d, %d threads: %d blocks of %d by %d", channels, vec, threads, over, across, down)
				}
				share := float64(channels) / float64(over*across*vec) // of the threads, that have channels
				if share *= float64(across*down) / float64(threads); threads == maxThreads && share < 0.875 {
					t.Errorf("%d channels by %d: %d blocks of %d by %d: only %.0f%% of the threads have work", channels, vec, over, across, down, 100*share)
				}
			}
		}
	}
}

// Tiles cover a map, and nearly all of their threads have work.
func TestTiles(t *testing.T) {
	c := &compiler{Backend: &Backend{threads: maxThreads}}
	for width := 1; width <= 300; width++ {
		for _, channels := range []int{8, 16, 32, 96, 144, 240, 672, 1152, 3840} {
			for _, vec := range []int{4, 8} {
				for _, run := range []int{1, 2, 4} {
					rows := 32 * width
					g := c.tiles(rows, width, run, channels, int32(vec))
					threads, runs, groups := int(g.block[0]*g.block[1]*g.block[2]), (width+run-1)/run, channels/vec
					ceil := func(n int, size uint32) int { return (n + int(size) - 1) / int(size) }
					if blocks := ceil(groups, g.block[0]) * ceil(runs, g.block[1]) * ceil(rows, g.block[2]); int(g.grid[0]) != blocks || threads > maxThreads || g.block[2] > maxDown {
						t.Fatalf("%d pixels by %d, %d channels by %d: %+v, not of %d blocks", width, run, channels, vec, g, blocks)
					}
					if share := float64(rows*runs*groups) / float64(int(g.grid[0])*threads); share < 0.75 {
						t.Errorf("%d pixels by %d, %d channels by %d: %+v: only %.0f%% of the threads have work", width, run, channels, vec, g, 100*share)
					}
				}
			}
		}
	}
}

// What the parts of any launch leave behind is added up by one launch, of few rows a thread
// unless there are very many channels.
func TestOneLaunchAddsParts(t *testing.T) {
	c := &compiler{Backend: &Backend{threads: maxThreads}}
	for _, left := range []int{1, 9, 25, expandBlocks, projectBlocks, gradBlocks, thinBlocks} {
		for _, channels := range []int{1, 24, 288, 864, 2304, 75264} {
			w := vec(channels, place{})
			parts, g := c.reduction(1, left, channels, w)
			across, down := int(g.block[0]), int(g.block[1])
			if parts != 1 || int(g.grid[1])*across*int(w) < channels || across*down > maxThreads {
				t.Errorf("%d parts of %d channels: %d parts, %+v", left, channels, parts, g)
			}
			if channels < 10_000 && left > 2*rowsOfThread*down {
				t.Errorf("%d parts of %d channels: %d threads down a block", left, channels, down)
			}
		}
	}
}

// A launch over images has blocks for a large card and not many more, and goes through every
// image and row.
func TestImages(t *testing.T) {
	c := &compiler{Backend: &Backend{threads: maxThreads}}
	for _, n := range []int{1, 2, 100, 256, 5000} {
		for _, channels := range []int{8, 144, 1152, 80_000} {
			for _, area := range []int{1, 49, 12544} {
				plain := c.byChannels(area, channels, 8)
				g := plain.images(n)
				if g.grid[1] != plain.grid[1] || int(g.grid[2]) > n || g.grid[0] > plain.grid[0] || g.grid[0] < 1 || g.grid[2] < 1 {
					t.Fatalf("%d images of %d x %d: %+v", n, area, channels, g)
				}
				if all := g.grid[0] * g.grid[1] * g.grid[2]; all > max(imageBlocks, g.grid[1]) {
					t.Errorf("%d images of %d x %d: %d blocks", n, area, channels, all)
				}
				if per := n / int(g.grid[2]); n > int(g.grid[2])*(per+1) {
					t.Errorf("%d images of %d x %d: some of %d blocks have more than %d images", n, area, channels, g.grid[2], per+1)
				}
			}
		}
	}
}
