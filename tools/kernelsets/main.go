// Command kernelsets measures which set of kernels is the fastest on this processor, and
// prints the row to commit in internal/backend/cpu/kernel/families.go:
//
//	go run ./tools/kernelsets
//
// It takes some minutes, and needs a machine that does nothing else. The sets take turns,
// in the other order each round, so that what slows the machine down meets all of them.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"

	"effnet/internal/backend/cpu/kernel"
	"effnet/internal/bench"
	"effnet/internal/config"
	"effnet/internal/device"
)

// A work is what sets are compared in: b0 at a size, in batches.
type work struct {
	name        string
	mode        string
	size, batch int
	steps       int // of about two seconds on two cores
}

var works = []work{
	{"training b0 at 32 px in batches of 256", bench.Train, 32, 256, 8},
	{"training b0 at 224 px in batches of 16", bench.Train, 224, 16, 6},
	{"one image through b0 at 224 px", bench.Infer, 224, 1, 300},
}

func main() {
	rounds := flag.Int("rounds", 7, "how often each set does each work")
	threads := flag.Int("threads", 0, "threads that compute; 0 for one per core")
	quick := flag.Bool("quick", false, "one step of each work, which tries the tool and measures nothing")
	flag.Parse()
	if *threads == 0 {
		*threads = runtime.GOMAXPROCS(0)
	}
	err := compare(context.Background(), os.Stdout, max(1, *rounds), *threads, *quick)
	if err != nil {
		fmt.Fprintln(os.Stderr, "kernelsets:", err)
		os.Exit(1)
	}
}

// compare measures the sets, but for the generic one where there is another, and prints
// the row.
func compare(ctx context.Context, w io.Writer, rounds, threads int, quick bool) error {
	sets := kernel.Available()
	sets = sets[:max(1, len(sets)-1)]
	speeds := make([][][]float64, len(works)) // images/s by work, set and round
	for i := range speeds {
		speeds[i] = make([][]float64, len(sets))
	}
	for round := range rounds {
		for i, work := range works {
			if quick {
				work.steps = 1
			}
			for j := range sets {
				if round%2 == 1 {
					j = len(sets) - 1 - j
				}
				speed, err := work.measure(ctx, sets[j].Name, threads)
				if err != nil {
					return err
				}
				speeds[i][j] = append(speeds[i][j], speed)
				fmt.Fprintf(os.Stderr, "round %d of %d, %s, %s: %.4g images/s\n", round+1, rounds, work.name, sets[j].Name, speed)
			}
		}
	}
	return printRow(w, sets, speeds, threads)
}

// measure is how many images a second a set does.
func (k work) measure(ctx context.Context, set string, threads int) (float64, error) {
	cfg := config.Default()
	cfg.ImgSize = k.size
	arch, err := cfg.Arch(1000)
	if err != nil {
		return 0, err
	}
	host := device.Host()
	b, err := host.Open(host.Precisions[0], set, threads)
	if err != nil {
		return 0, err
	}
	defer b.Close()
	r, err := bench.Run(ctx, host, b, cfg, arch, bench.Options{Mode: k.mode, Threads: threads, Batch: k.batch, Steps: k.steps, Warmup: 1})
	if err != nil {
		return 0, err
	}
	return r.ImagesPerSec, nil
}

// printRow prints the row of the set whose speeds, as multiples of the widest's in the
// same round and by their medians, have the largest product over the works.
func printRow(w io.Writer, sets []*kernel.Set, speeds [][][]float64, threads int) error {
	names := make([]string, len(sets))
	best, most := 0, 0.
	for j, s := range sets {
		names[j] = s.Name
		product := 1.
		for i := range works {
			product *= bench.Median(multiples(speeds[i][j], speeds[i][0]))
		}
		if product > most {
			best, most = j, product
		}
	}
	p := kernel.ThisProcessor()
	said := make([]string, len(works))
	for i, work := range works {
		medians := make([]string, len(sets))
		for j := range sets {
			medians[j] = fmt.Sprintf("%.4g", bench.Median(speeds[i][j]))
			if apart := bench.Median(multiples(speeds[i][j], speeds[i][best])); j != best && apart > 1 {
				fmt.Fprintf(os.Stderr, "%s: %s is %.0f %% faster than %s, which the row has\n", work.name, names[j], 100*(apart-1), names[best])
			}
		}
		said[i] = work.name + ": " + strings.Join(medians, " and ")
	}
	_, err := fmt.Fprintf(w, "\t// %s, family %d, model %d, %d threads, images/s with %s, medians of %d: %s.\n\t%s,\n",
		p.Name, p.Family, p.Model, threads, strings.Join(names, " and with "), len(speeds[0][0]), strings.Join(said, "; "), p.Row(names[best]))
	return err
}

// multiples are speeds over others, round by round.
func multiples(speeds, of []float64) []float64 {
	all := make([]float64, len(speeds))
	for i, v := range speeds {
		all[i] = v / of[i]
	}
	return all
}
