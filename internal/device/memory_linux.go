package device

import "syscall"

// HostMemory is the machine's memory, in bytes; 0 where the system does not say.
func HostMemory() int64 {
	var info syscall.Sysinfo_t
	if syscall.Sysinfo(&info) != nil {
		return 0
	}
	return int64(info.Totalram) * int64(info.Unit)
}
