// Package ranks lets several processes train one network.
package ranks

// Transport carries data between the ranks of a job. Its methods but Rank, Size, Local and Abort are
// collective: every rank calls the same ones in the same order. One goroutine calls them.
type Transport interface {
	Rank() int               // of this process, from 0
	Size() int               // ranks in the job
	Local() (rank, size int) // among the ranks of this host
	// Exchange sends part p of src (src[bounds[p]:bounds[p+1]]) to rank p and fills dst with the
	// part of this rank from every rank, in rank order.
	Exchange(dst, src []float32, bounds []int) error
	// Collect puts every rank's part of buf (buf[bounds[r]:bounds[r+1]] of rank r) into buf on all ranks.
	Collect(buf []float32, bounds []int) error
	// Gather returns the bytes of every rank, in rank order, on all ranks; lengths may differ.
	Gather(b []byte) ([][]byte, error)
	// Broadcast gives all ranks the bytes of root.
	Broadcast(b []byte, root int) ([]byte, error)
	// Floats is memory for Exchange and Collect, which lives as long as the process.
	Floats(n int) []float32
	// Abort ends the whole job with this exit code. It may be called from any goroutine, and does not return.
	Abort(code int)
	// Close is collective: the end of a job that went well.
	Close() error
}
