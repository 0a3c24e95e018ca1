package mpi

import (
	"slices"
	"testing"
)

// The variables are those that each launcher set where it ran.
func TestLaunched(t *testing.T) {
	for _, c := range []struct {
		name string
		env  map[string]string
		want Launch
	}{
		{"nothing", map[string]string{"HOME": "/root", "SLURM_JOB_ID": "3"}, Launch{"", -1, -1, nil}},
		{"Open MPI", map[string]string{"OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_RANK": "3", "PMIX_RANK": "3"}, Launch{"mpirun (Open MPI)", 3, 4, nil}},
		{"Open MPI in a step", map[string]string{"OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_RANK": "3", "SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "1", "PMIX_RANK": "3"}, Launch{"mpirun (Open MPI)", 3, 4, nil}},
		{"MPICH", map[string]string{"PMI_RANK": "1", "PMI_SIZE": "2", "MPI_LOCALNRANKS": "2"}, Launch{"mpiexec (hydra)", 1, 2, nil}},
		{"MPICH in a step", map[string]string{"PMI_RANK": "5", "PMI_SIZE": "8", "MPI_LOCALNRANKS": "4", "SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "1"}, Launch{"mpiexec (hydra)", 5, 8, nil}},
		{"srun --mpi=pmi2", map[string]string{"PMI_RANK": "1", "PMI_SIZE": "2", "SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "1"}, Launch{"srun (PMI)", 1, 2, nil}},
		{"srun --mpi=pmix", map[string]string{"PMIX_RANK": "1", "SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "1"}, Launch{"srun (PMIx)", 1, 2, nil}},
		{"srun --mpi=none", map[string]string{"SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "1"}, Launch{"srun", 1, 2, nil}},
		{"PMI", map[string]string{"PMI_RANK": "0", "PMI_SIZE": "2"}, Launch{"a launcher with PMI", 0, 2, nil}},
		{"PMIx", map[string]string{"PMIX_RANK": "7"}, Launch{"a launcher with PMIx", 7, -1, nil}},
		{"no numbers", map[string]string{"OMPI_COMM_WORLD_SIZE": "many", "OMPI_COMM_WORLD_RANK": "-3"}, Launch{"mpirun (Open MPI)", -1, -1, nil}},
	} {
		got := Launched(func(name string) string { return c.env[name] })
		if (got.launcher == nil) != (c.want.By == "") {
			t.Errorf("%s: launcher %v", c.name, got.launcher)
		}
		got.launcher = nil
		if got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
	for _, l := range launchers {
		if len(l.marks) == 0 || len(l.libraries) == 0 || l.binding == "" || slices.Contains(l.libraries, "") {
			t.Errorf("%s lacks something: %+v", l.name, l)
		}
	}
}
