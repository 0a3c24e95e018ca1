//go:build linux && (amd64 || arm64) && !static

package mpi

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"effnet/internal/ranks"

	"golang.org/x/sys/unix"
)

// place is where a rank runs.
type place struct {
	Host   string // the machine's name
	Boot   string // what the machine calls the time since it was started; names may be alike
	CPUs   []int  // on which the rank may run
	Online int    // processors of the machine
}

// ownPlace is where this process runs, before a library binds anything.
func ownPlace() place {
	p := place{Boot: readLine("/proc/sys/kernel/random/boot_id"), Online: countList(readLine("/sys/devices/system/cpu/online"))}
	p.Host, _ = os.Hostname()
	var set unix.CPUSet
	if unix.SchedGetaffinity(0, &set) == nil {
		for cpu := 0; len(p.CPUs) < set.Count(); cpu++ {
			if set.IsSet(cpu) {
				p.CPUs = append(p.CPUs, cpu)
			}
		}
	}
	p.Online = max(p.Online, len(p.CPUs))
	return p
}

func readLine(path string) string {
	b, _ := os.ReadFile(path) // a system without is one host by its name alone
	return strings.TrimSpace(string(b))
}

// countList counts the numbers of a kernel's list: 0-3,8.
func countList(list string) (n int) {
	for part := range strings.SplitSeq(list, ",") {
		var from, to int
		switch fields, _ := fmt.Sscanf(part, "%d-%d", &from, &to); fields {
		case 1:
			n++
		case 2:
			n += to - from + 1
		}
	}
	return n
}

// gatherPlaces returns the places of all ranks.
func gatherPlaces(t ranks.Transport, mine place) ([]place, error) {
	b, err := json.Marshal(mine)
	if err != nil {
		return nil, err
	}
	all, err := t.Gather(b)
	if err != nil {
		return nil, err
	}
	places := make([]place, len(all))
	for r, b := range all {
		if err := json.Unmarshal(b, &places[r]); err != nil {
			return nil, fmt.Errorf("rank %d says that it runs at %q: %w", r, b, err)
		}
	}
	return places, nil
}

func (p place) sameHost(q place) bool { return p.Host == q.Host && p.Boot == q.Boot }

// local is a rank's number among those of its host, and how many they are.
func local(places []place, rank int) (number, size int) {
	for r, p := range places {
		if p.sameHost(places[rank]) {
			if r < rank {
				number++
			}
			size++
		}
	}
	return number, size
}

// users counts the ranks of a host that may use each of its processors.
func users(places []place, host place) map[int]int {
	n := map[int]int{}
	for _, p := range places {
		if p.sameHost(host) {
			for _, cpu := range p.CPUs {
				n[cpu]++
			}
		}
	}
	return n
}

// share is how many processors a rank has for itself, if those that several ranks may use
// are divided among them; at least 1.
func share(places []place, rank int) int {
	n, sum := users(places, places[rank]), 0.0
	for _, cpu := range places[rank].CPUs {
		sum += 1 / float64(n[cpu])
	}
	return max(1, int(sum+1e-9))
}

// binding says on which host ranks are bound to one processor each while others are idle,
// and with which option of the launcher they are not.
func binding(places []place, option string) []string {
	var notes []string
	told := map[[2]string]bool{}
	for _, p := range places {
		used := len(users(places, p))
		if len(p.CPUs) != 1 || used >= p.Online || told[[2]string{p.Host, p.Boot}] {
			continue
		}
		told[[2]string{p.Host, p.Boot}] = true
		notes = append(notes, fmt.Sprintf("%s: its ranks are bound to %d of %d processors: start them with %s", p.Host, used, p.Online, option))
	}
	return notes
}
