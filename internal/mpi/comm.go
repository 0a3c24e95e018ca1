//go:build linux && (amd64 || arm64) && !static

package mpi

import (
	"fmt"
	"os"
	"runtime"
	"syscall"
	"time"
	"unsafe"
)

// comm is all ranks of the job: MPI_COMM_WORLD. It is a ranks.Transport.
type comm struct {
	*library
	rank, size           int
	localRank, localSize int

	calls chan func() // for the goroutine that alone calls MPI
	stage []byte      // memory for messages that are not in Floats' memory
	most  int         // values that one call of MPI may count, whose counts are 32-bit
}

const (
	stageBytes = 32 << 20
	mostValues = 1 << 30

	// How long MPI_Abort and MPI_Finalize may take before the process ends without them.
	abortPatience    = 5 * time.Second
	finalizePatience = 5 * time.Second
)

// open joins the job.
func open(l Launch) (*Job, error) {
	mine := ownPlace()
	before := currentHandlers()
	lib, err := openLibrary(l)
	if err != nil {
		return nil, err
	}
	c := &comm{library: lib, calls: make(chan func()), stage: mapped(stageBytes), most: mostValues}
	go func() {
		runtime.LockOSThread()
		for f := range c.calls {
			f()
		}
	}()
	err = c.do(c.init)
	before.restore()
	if err == nil {
		err = c.compare(l)
	}
	if err != nil {
		return nil, err
	}
	job := &Job{Transport: c, Launch: l, Library: lib.String(), Host: mine.Host}
	places, err := gatherPlaces(c, mine)
	if err != nil {
		return nil, err
	}
	c.localRank, c.localSize = local(places, c.rank)
	job.Threads = share(places, c.rank)
	job.Notes = binding(places, l.launcher.binding)
	return job, nil
}

// do runs f on the thread that calls MPI: a library is asked for no more than calls from
// one thread at a time, and MPI_Finalize must come from the thread of MPI_Init.
func (c *comm) do(f func() error) error {
	done := make(chan error, 1)
	c.calls <- func() { done <- f() }
	return <-done
}

// init begins MPI. Until errors are returned, MPI ends the process with its own message.
func (c *comm) init() error {
	var provided, rank, size int32
	if err := c.call("MPI_Init_thread", c.initThread, 0, 0, c.serialized, uintptr(unsafe.Pointer(&provided))); err != nil {
		return err
	}
	if err := c.call("MPI_Comm_set_errhandler", c.setErrhandler, c.world, c.errorsReturn); err != nil {
		return err
	}
	if err := c.call("MPI_Comm_rank", c.commRank, c.world, uintptr(unsafe.Pointer(&rank))); err != nil {
		return err
	}
	if err := c.call("MPI_Comm_size", c.commSize, c.world, uintptr(unsafe.Pointer(&size))); err != nil {
		return err
	}
	c.rank, c.size = int(rank), int(size)
	if uintptr(provided) < c.serialized {
		return refuse("%v offers no thread level SERIALIZED: effnet needs an MPI that was built with threads", c.library)
	}
	return nil
}

// compare compares what MPI says of the job with what the launcher says. A library that
// does not belong to the launcher takes each process for a job of its own.
func (c *comm) compare(l Launch) error {
	if (l.Size < 0 || l.Size == c.size) && (l.Rank < 0 || l.Rank == c.rank) {
		return nil
	}
	return refuse("%v, but for %v it is rank %d of %d: that is not the launcher's MPI (%sset %s to the path of the launcher's library)",
		l, c.library, c.rank, c.size, l.launcher.mismatch, LibraryEnv)
}

// Rank is the number of this process, from 0.
func (c *comm) Rank() int { return c.rank }

// Size is the number of ranks in the job.
func (c *comm) Size() int { return c.size }

// Local is the number of this process among the ranks of its host, and how many they are.
func (c *comm) Local() (rank, size int) { return c.localRank, c.localSize }

// mapped is zeroed memory outside of Go's heap, for the life of the process: networks
// keep what they learn of an address, and Go gives pages of its heap back.
func mapped(bytes int) []byte {
	b, err := syscall.Mmap(-1, 0, max(bytes, 1), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		panic(fmt.Sprintf("mpi: no memory for %d bytes: %v", bytes, err))
	}
	return b[:bytes]
}

// Floats is memory for Exchange and Collect.
func (c *comm) Floats(n int) []float32 { return floats(mapped(4 * n)) }

// floats sees bytes of mapped memory as values.
func floats(b []byte) []float32 {
	return unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/4)
}

// Abort ends all processes of the job. If MPI cannot, this one ends, which the launcher
// and the others' watchdogs see.
func (c *comm) Abort(code int) {
	time.AfterFunc(abortPatience, func() { os.Exit(code) })
	_ = c.call("MPI_Abort", c.abort, c.world, uintptr(code))
	os.Exit(code)
}

// Close ends MPI, after all ranks have come so far: launchers end the others when one
// process has ended with another code than 0. All is done then. MPI_Finalize of MPICH
// 4.0.2 was seen to wait for ever on loopback TCP, so it is given a limited time; the end
// of the process does the rest.
func (c *comm) Close() error {
	if err := c.do(func() error { return c.call("MPI_Barrier", c.barrier, c.world) }); err != nil {
		return err
	}
	finalized := make(chan error, 1)
	go func() { finalized <- c.do(func() error { return c.call("MPI_Finalize", c.finalize) }) }()
	select {
	case err := <-finalized:
		return err
	case <-time.After(finalizePatience):
		return nil
	}
}
