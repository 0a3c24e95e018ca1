//go:build !static

package main

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// An MPI library whose MPI_Init_thread never returns, as where another rank does not start.
const waitingMPI = `
#include <stdio.h>
#include <string.h>
#include <unistd.h>
int MPI_Get_library_version(char *text, int *n) { strcpy(text, "MPICH Version: waiting"); *n = strlen(text); return 0; }
int MPI_Init_thread(void *argc, void *argv, int required, int *provided) { fputs("joining\n", stderr); for (;;) pause(); }
#define STUB(name) int name(void) { return 1; }
STUB(MPI_Error_string) STUB(MPI_Comm_set_errhandler) STUB(MPI_Comm_rank) STUB(MPI_Comm_size) STUB(MPI_Bcast) STUB(MPI_Allgather)
STUB(MPI_Allgatherv) STUB(MPI_Alltoallv) STUB(MPI_Barrier) STUB(MPI_Abort) STUB(MPI_Finalize)
`

// A signal ends a rank that waits for others to start.
func TestSignalWhileJoining(t *testing.T) {
	if _, err := exec.LookPath("gcc"); err != nil {
		t.Skip("no rank is stopped while it waits for others: install gcc")
	}
	dir := faultData(t)
	source, library := filepath.Join(dir, "mpi.c"), filepath.Join(dir, "libwaiting.so")
	if err := os.WriteFile(source, []byte(waitingMPI), 0o666); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "gcc", "-shared", "-fPIC", "-o", library, source).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := effnetCommand(ctx, dir, "train", "d", "--config", "fault.yaml", "--out", "run")
	cmd.Env = append(os.Environ(), "PMI_RANK=0", "PMI_SIZE=2", "EFFNET_MPI="+library)
	errs, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(errs)
	var said []string
	for lines.Scan() {
		said = append(said, lines.Text())
		if lines.Text() == "joining" {
			if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 128+int(syscall.SIGTERM) {
		t.Errorf("exit code %d, want %d; it said %q", code, 128+int(syscall.SIGTERM), said)
	}
}
