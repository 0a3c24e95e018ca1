package mpi

import (
	"fmt"
	"slices"
	"strconv"
)

// Launch is what the environment says about how this process was started.
type Launch struct {
	By   string // what started it: "mpirun (Open MPI)"; "" for nothing that starts ranks
	Rank int    // of this process; -1 if the environment does not say
	Size int    // processes in the job; -1 if the environment does not say

	launcher *launcher
}

// launcher is a program that starts ranks.
type launcher struct {
	name       string
	marks      []string // variables that it sets, all of them
	rank, size string   // the variables that have these
	libraries  []string // that work with it, the likeliest first
	binding    string   // how to start ranks that are not bound to one processor each
	mismatch   string   // what else to try where the library does not see the job
}

var (
	openMPI  = []string{"libmpi.so.40"}
	mpich    = []string{"libmpi.so.12", "libmpich.so.12"}
	standard = []string{"libmpi_abi.so.1", "libmpi_abi.so.0"}
)

const (
	bindSlurm = "--cpus-per-task=N, or --cpu-bind=none"
	bindHydra = "-bind-to none"
)

// launchers are asked in this order. mpirun and mpiexec also run inside a step of Slurm,
// whose variables then count something else.
var launchers = []*launcher{
	{
		name: "mpirun (Open MPI)", marks: []string{"OMPI_COMM_WORLD_SIZE"},
		rank: "OMPI_COMM_WORLD_RANK", size: "OMPI_COMM_WORLD_SIZE",
		libraries: slices.Concat(openMPI, standard, mpich),
		binding:   "--bind-to none, or --map-by numa --bind-to numa",
	},
	{
		name: "mpiexec (hydra)", marks: []string{"PMI_RANK", "PMI_SIZE", "MPI_LOCALNRANKS"},
		rank: "PMI_RANK", size: "PMI_SIZE",
		libraries: slices.Concat(mpich, standard, openMPI),
		binding:   bindHydra,
	},
	{
		name: "srun (PMI)", marks: []string{"SLURM_STEP_ID", "PMI_RANK", "PMI_SIZE"},
		rank: "PMI_RANK", size: "PMI_SIZE",
		libraries: slices.Concat(mpich, standard, openMPI),
		binding:   bindSlurm, mismatch: "use srun --mpi=pmix for Open MPI, or ",
	},
	{
		name: "srun (PMIx)", marks: []string{"SLURM_STEP_ID", "SLURM_STEP_NUM_TASKS", "PMIX_RANK"},
		rank: "SLURM_PROCID", size: "SLURM_STEP_NUM_TASKS",
		libraries: slices.Concat(openMPI, standard, mpich),
		binding:   bindSlurm, mismatch: "use srun --mpi=pmi2 for MPICH, or ",
	},
	{
		name: "srun", marks: []string{"SLURM_STEP_ID", "SLURM_STEP_NUM_TASKS", "SLURM_PROCID"},
		rank: "SLURM_PROCID", size: "SLURM_STEP_NUM_TASKS",
		libraries: slices.Concat(openMPI, standard, mpich),
		binding:   bindSlurm, mismatch: "use srun --mpi=pmix for Open MPI or --mpi=pmi2 for MPICH, or ",
	},
	{
		name: "a launcher with PMI", marks: []string{"PMI_RANK", "PMI_SIZE"},
		rank: "PMI_RANK", size: "PMI_SIZE",
		libraries: slices.Concat(mpich, standard, openMPI),
		binding:   bindHydra,
	},
	{
		name: "a launcher with PMIx", marks: []string{"PMIX_RANK"},
		rank:      "PMIX_RANK",
		libraries: slices.Concat(openMPI, standard, mpich),
		binding:   "the launcher's option for it",
	},
}

// Launched says what started this process, by the environment alone.
func Launched(getenv func(string) string) Launch {
	for _, l := range launchers {
		if !slices.ContainsFunc(l.marks, func(mark string) bool { return getenv(mark) == "" }) {
			return Launch{By: l.name, Rank: number(getenv(l.rank)), Size: number(getenv(l.size)), launcher: l}
		}
	}
	return Launch{Rank: -1, Size: -1}
}

// number is a number of the environment, -1 for none.
func number(s string) int {
	if n, err := strconv.Atoi(s); err == nil && n >= 0 {
		return n
	}
	return -1
}

// String is what a sentence about a job that failed begins with.
func (l Launch) String() string {
	if l.Size < 0 {
		return fmt.Sprintf("%s started this process as rank %d", l.By, l.Rank)
	}
	return fmt.Sprintf("%s started this process as rank %d of %d", l.By, l.Rank, l.Size)
}
