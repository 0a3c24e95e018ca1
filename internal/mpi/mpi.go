// Package mpi makes one process of several, on one machine or many, a rank of a job. It
// opens the MPI library that belongs to the launcher that started the process, and only
// then: without a launcher no library is looked for.
//
// MPI carries bytes; it does not add them, for its sums depend on the number of ranks.
// Where sums on GPUs are to stay on them, NCCL belongs here too: a ranks.Transport around
// a Job's, whose Floats are the device's memory, whose Exchange is a group of ncclSend and
// ncclRecv and whose Collect is a group of ncclBroadcast, on the id that Broadcast brings;
// it leaves everything else to MPI, and sums are made in the same order by its caller.
package mpi

import (
	"fmt"
	"os"

	"effnet/internal/ranks"
)

// LibraryEnv is the environment's variable that names the MPI library to open, by path or
// by a name that the loader looks for, in place of those that belong to the launcher.
const LibraryEnv = "EFFNET_MPI"

// Job is a job of two ranks or more, of which this process is one.
type Job struct {
	ranks.Transport
	Launch  Launch
	Library string   // its name and version, and the file
	Host    string   // the machine's name
	Threads int      // processors that this rank has for itself
	Notes   []string // what is wrong with the processors that the launcher gave the ranks of this host
}

// Error says that the job which the launcher started cannot be one.
type Error struct{ Reason string }

func (e *Error) Error() string { return e.Reason }

func refuse(format string, args ...any) error { return &Error{fmt.Sprintf(format, args...)} }

// Open joins the job that this process was started in. It is collective, and comes once in
// a process. The job is nil if no launcher started the process, or if it started only one.
func Open() (*Job, error) {
	l := Launched(os.Getenv)
	if l.By == "" || l.Size == 1 {
		return nil, nil
	}
	return open(l)
}
