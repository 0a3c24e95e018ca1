package bench

import (
	"fmt"
	"os"
	"strings"
)

// peakRSS is the most memory that the process has had at once, in bytes; 0 where
// the system does not tell.
func peakRSS() int64 {
	status, err := os.ReadFile("/proc/self/status") // Linux; its getrusage counts the parent in
	if err != nil {
		return maxRSS()
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	var kib int64
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		return maxRSS()
	}
	return kib << 10
}
