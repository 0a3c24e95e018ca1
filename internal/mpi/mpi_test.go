//go:build linux && (amd64 || arm64) && !static

package mpi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"effnet/internal/ranks/rankstest"
)

// A test starts this binary again, by a launcher, with the name of what to do as a rank.
const scenarioEnv = "EFFNET_TEST_RANKS"

// installsEnv names folders of MPI installations, each with bin/mpirun and lib, separated
// as in PATH. Those in PATH are tested too.
const installsEnv = "EFFNET_TEST_MPIS"

func TestMain(m *testing.M) {
	name := os.Getenv(scenarioEnv)
	if name == "" {
		os.Exit(m.Run())
	}
	if err := scenarios[name](); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(9)
	}
}

var scenarios = map[string]func() error{
	"open":     openOnly,
	"suite":    suite,
	"handlers": keepsHandlers,
	"errors":   returnsErrors,
	"abort":    aborts,
	"panic":    diesInCollective,
}

// joined is a job for a scenario that needs one.
func joined() (*Job, *comm, error) {
	j, err := Open()
	if err == nil && j == nil {
		err = errors.New("no job")
	}
	if err != nil {
		return nil, nil, err
	}
	return j, j.Transport.(*comm), nil
}

func openOnly() error {
	before := mappedFiles()
	j, err := Open()
	if err != nil {
		return err
	}
	if j == nil {
		fmt.Printf("no job; opened: %v\n", slices.DeleteFunc(mappedFiles(), func(f string) bool { return slices.Contains(before, f) }))
		return nil
	}
	fmt.Printf("rank %d of %d, %d threads, notes %q, %s, %s\n", j.Rank(), j.Size(), j.Threads, j.Notes, j.Library, j.Transport.(*comm).abi)
	return j.Close()
}

// mappedFiles are the files that this process has mapped, sorted, each once.
func mappedFiles() (files []string) {
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		panic(err)
	}
	for line := range strings.Lines(string(maps)) {
		if i := strings.Index(line, "/"); i >= 0 {
			files = append(files, strings.TrimSpace(line[i:]))
		}
	}
	slices.Sort(files)
	return slices.Compact(files)
}

// suite runs the suite while Go collects garbage and signals arrive, then with messages
// cut into small pieces.
func suite() error {
	j, c, err := joined()
	if err != nil {
		return err
	}
	defer debug.SetGCPercent(debug.SetGCPercent(10))
	signals := make(chan os.Signal, 1000)
	signal.Notify(signals, syscall.SIGUSR1)
	stop := make(chan bool)
	for range 2 {
		go func() {
			var keep [][]byte
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				case <-time.After(time.Millisecond):
				}
				keep = append(keep, make([]byte, 1000+i%50_000))
				if len(keep) > 100 {
					keep = slices.Clone(keep[50:])
				}
				syscall.Kill(os.Getpid(), syscall.SIGUSR1)
			}
		}()
	}
	err = rankstest.Check(j)
	c.most = 50_021 * c.size
	c.stage = c.stage[:100_003*c.size]
	err = errors.Join(err, rankstest.Check(j))
	close(stop)
	if len(signals) == 0 {
		err = errors.Join(err, errors.New("no signal arrived"))
	}
	if err != nil {
		return err
	}
	fmt.Printf("rank %d passed\n", j.Rank())
	return j.Close()
}

// keepsHandlers checks that MPI left Go's signal handlers alone.
func keepsHandlers() error {
	before := currentHandlers()
	j, _, err := joined()
	if err != nil {
		return err
	}
	if changed := before.restore(); len(changed) > 0 {
		return fmt.Errorf("handlers of %v changed", changed)
	}
	if err := faults(); err != nil {
		return err
	}
	fmt.Printf("rank %d survived\n", j.Rank())
	return j.Close()
}

// faults faults twice, as a bug does and as a mapped file that became shorter.
func faults() (err error) {
	recovered := func(what string, fault func()) {
		defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
		defer func() {
			if recover() == nil {
				err = errors.Join(err, fmt.Errorf("%s was no panic", what))
			}
		}()
		fault()
	}
	var p *[8]int
	recovered("a nil pointer", func() { p[runtime.NumGoroutine()%8] = 1 })
	f, err := os.CreateTemp("", "mpi")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	if err := f.Truncate(8192); err != nil {
		return err
	}
	b, err := syscall.Mmap(int(f.Fd()), 0, 8192, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		return err
	}
	if err := f.Truncate(0); err != nil {
		return err
	}
	recovered("a page that is gone", func() { fmt.Fprint(os.Stderr, b[5000]) })
	return err
}

// returnsErrors makes a call that MPI refuses, then one that it does not.
func returnsErrors() error {
	j, _, err := joined()
	if err != nil {
		return err
	}
	_, err = j.Broadcast([]byte("x"), 1000)
	if err == nil {
		return errors.New("a broadcast from rank 1000 is no error")
	}
	fmt.Printf("rank %d: %v\n", j.Rank(), err)
	if _, err := j.Gather([]byte("still there")); err != nil {
		return err
	}
	return j.Close()
}

// aborts ends the job from a goroutine, while the others wait for a message.
func aborts() error {
	j, _, err := joined()
	if err != nil {
		return err
	}
	if j.Rank() == 1 {
		go j.Abort(42)
		select {}
	}
	_, err = j.Gather(nil)
	return fmt.Errorf("a job that was aborted goes on: %w", err)
}

// diesInCollective kills rank 1 while the others wait for it.
func diesInCollective() error {
	j, _, err := joined()
	if err != nil {
		return err
	}
	if j.Rank() == 1 {
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}
	_, err = j.Gather(nil)
	return err
}

// install is an MPI that is installed here.
type install struct {
	name   string
	mpirun string
	args   []string
	env    []string
	hydra  bool
}

// installs are the MPIs that the tests run: those in PATH, and those of installsEnv, also
// by the standard ABI where they have it. Without any the test is skipped.
func installs(t *testing.T) (all []install) {
	t.Helper()
	programs := []string{}
	for _, name := range []string{"mpirun.openmpi", "mpirun.mpich"} { // as Debian calls them
		if path, err := exec.LookPath(name); err == nil {
			programs = append(programs, path)
		}
	}
	if path, err := exec.LookPath("mpirun"); err == nil && len(programs) == 0 {
		programs = append(programs, path)
	}
	for _, folder := range filepath.SplitList(os.Getenv(installsEnv)) {
		programs = append(programs, filepath.Join(folder, "bin", "mpirun"))
	}
	for _, program := range programs {
		out, err := exec.CommandContext(t.Context(), program, "--version").CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v\n%s", program, err, out)
			continue
		}
		i := install{name: program, mpirun: program}
		switch {
		case bytes.Contains(out, []byte("Open MPI")), bytes.Contains(out, []byte("OpenRTE")):
			i.args = []string{"--allow-run-as-root", "--oversubscribe", "--bind-to", "none"}
		case bytes.Contains(out, []byte("HYDRA")):
			i.hydra = true
		default:
			t.Logf("%s is not tested: %s", program, out)
			continue
		}
		all = append(all, i)
		for _, name := range standard {
			if file := filepath.Join(filepath.Dir(program), "..", "lib", name); exists(file) {
				i.name, i.env = file, []string{LibraryEnv + "=" + file}
				all = append(all, i)
			}
		}
	}
	if len(all) == 0 {
		t.Skip("no mpirun in PATH: MPI is not tested (install openmpi-bin or mpich)")
	}
	return all
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

// run runs a scenario on n ranks.
func (i install) run(t *testing.T, n int, scenario string, env ...string) (out string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	args := append(slices.Clone(i.args), "-n", strconv.Itoa(n), os.Args[0])
	cmd := exec.CommandContext(ctx, i.mpirun, args...)
	cmd.Env = append(os.Environ(), scenarioEnv+"="+scenario, "GOTRACEBACK=single")
	cmd.Env = append(append(cmd.Env, i.env...), env...)
	cmd.WaitDelay = 10 * time.Second
	b, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		t.Fatalf("%s: %v\n%s", scenario, ctx.Err(), b)
	}
	if err != nil && !errors.As(err, new(*exec.ExitError)) {
		t.Fatal(err)
	}
	return string(b), cmd.ProcessState.ExitCode()
}

// pass runs a scenario that must end well, with a line of each rank.
func (i install) pass(t *testing.T, n int, scenario, line string) {
	t.Helper()
	out, code := i.run(t, n, scenario)
	if code != 0 {
		t.Fatalf("%d ranks: exit code %d\n%s", n, code, out)
	}
	for r := range n {
		if want := fmt.Sprintf("rank %d%s", r, line); !strings.Contains(out, want) {
			t.Errorf("%d ranks: no %q in\n%s", n, want, out)
		}
	}
}

func TestRanks(t *testing.T) {
	for _, i := range installs(t) {
		t.Run(i.name, func(t *testing.T) {
			out, _ := i.run(t, 2, "open")
			t.Log(out)
			i.pass(t, 2, "suite", " passed")
			if !i.hydra || runtime.NumCPU() > 2 { // MPICH's ranks spin, and take long to make room
				i.pass(t, 3, "suite", " passed")
			}
			i.pass(t, 2, "handlers", " survived")
			i.pass(t, 2, "errors", ": MPI_Bcast: ")
		})
	}
}

func TestAbort(t *testing.T) {
	for _, i := range installs(t) {
		t.Run(i.name, func(t *testing.T) {
			if out, code := i.run(t, 2, "abort"); code != 42 || strings.Contains(out, "goes on") {
				t.Errorf("exit code %d, want 42\n%s", code, out)
			}
			if out, code := i.run(t, 2, "panic"); code == 0 {
				t.Errorf("a rank that was killed leaves exit code 0\n%s", out)
			}
		})
	}
}

// A library that does not belong to the launcher, one that is none, and one that is not
// there are refused with a sentence.
func TestWrongLibrary(t *testing.T) {
	all := installs(t)
	for _, i := range all {
		wrong := map[string]string{
			"libc.so.6":               "libc.so.6 is no MPI library: it lacks MPI_Get_library_version",
			"/nowhere/libmpi.so.40":   "its MPI library cannot be opened",
			"libmpich.so.12":          "that is not the launcher's MPI",
			"libmpi.so.40":            "that is not the launcher's MPI",
			otherMPI(t, "Acme MPI 7"): "(Acme MPI 7) has an ABI that effnet does not know",
		}
		delete(wrong, "")
		if i.hydra {
			delete(wrong, "libmpich.so.12")
		} else {
			delete(wrong, "libmpi.so.40")
		}
		for file, want := range wrong {
			if strings.HasPrefix(file, "libmp") && !slices.ContainsFunc(all, func(j install) bool {
				return j.hydra == (file == "libmpich.so.12") && strings.HasPrefix(j.mpirun, "/usr/")
			}) {
				continue // the loader does not find it
			}
			t.Run(i.name+" "+filepath.Base(file), func(t *testing.T) {
				out, code := i.run(t, 2, "open", LibraryEnv+"="+file)
				if code == 0 || !strings.Contains(out, want) || !strings.Contains(out, LibraryEnv) && !strings.Contains(want, "ABI") {
					t.Errorf("exit code %d, no %q in\n%s", code, want, out)
				}
			})
		}
	}
}

// otherMPI is a library with MPI's functions that calls itself something else; "" where no
// C compiler makes one.
func otherMPI(t *testing.T, version string) string {
	t.Helper()
	gcc, err := exec.LookPath("gcc")
	if err != nil {
		t.Log("no gcc: no library of an unknown ABI is tried")
		return ""
	}
	var source strings.Builder
	fmt.Fprintf(&source, "int MPI_Get_library_version(char *s, int *n) { const char *v = %q; *n = 0; while ((s[*n] = v[*n])) ++*n; return 0; }\n", version)
	for _, name := range []string{"Error_string", "Init_thread", "Comm_set_errhandler", "Comm_rank", "Comm_size", "Bcast", "Allgather", "Allgatherv", "Alltoallv", "Barrier", "Abort", "Finalize"} {
		fmt.Fprintf(&source, "int MPI_%s(void) { __builtin_trap(); }\n", name)
	}
	folder := t.TempDir()
	file := filepath.Join(folder, "other.c")
	if err := os.WriteFile(file, []byte(source.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	library := filepath.Join(folder, "libother.so")
	if out, err := exec.CommandContext(t.Context(), gcc, "-shared", "-fPIC", "-o", library, file).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return library
}

// Without a launcher, and for a job of one, nothing is opened: not even a library that
// is named and not there is missed. With a launcher it is.
func TestOpensNothing(t *testing.T) {
	for _, c := range []struct {
		name string
		env  []string
		ok   bool
	}{
		{"alone", nil, true},
		{"a job of one", []string{"OMPI_COMM_WORLD_SIZE=1", "OMPI_COMM_WORLD_RANK=0"}, true},
		{"a job of two", []string{"OMPI_COMM_WORLD_SIZE=2", "OMPI_COMM_WORLD_RANK=0"}, false},
	} {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append([]string{scenarioEnv + "=open", LibraryEnv + "=/nowhere/libmpi.so"}, c.env...)
		out, err := cmd.CombinedOutput()
		if want := "no job; opened: []\n"; (err == nil) != c.ok || c.ok && string(out) != want {
			t.Errorf("%s: %v\n%s", c.name, err, out)
		}
	}
}

func TestPlaces(t *testing.T) {
	a := func(cpus ...int) place { return place{Host: "a", Boot: "1", CPUs: cpus, Online: 4} }
	b := func(cpus ...int) place { return place{Host: "b", Boot: "2", CPUs: cpus, Online: 4} }
	for _, c := range []struct {
		name   string
		places []place
		local  [][2]int
		share  []int
		notes  int
	}{
		{"not bound", []place{a(0, 1, 2, 3), a(0, 1, 2, 3)}, [][2]int{{0, 2}, {1, 2}}, []int{2, 2}, 0},
		{"bound to one each, others idle", []place{a(0), a(1)}, [][2]int{{0, 2}, {1, 2}}, []int{1, 1}, 1},
		{"bound to one each, none idle", []place{a(0), a(1), a(2), a(3)}, [][2]int{{0, 4}, {1, 4}, {2, 4}, {3, 4}}, []int{1, 1, 1, 1}, 0},
		{"bound to halves", []place{a(0, 1), a(2, 3)}, [][2]int{{0, 2}, {1, 2}}, []int{2, 2}, 0},
		{"two hosts, in turn", []place{a(0, 1, 2, 3), b(0, 1, 2, 3), a(0, 1, 2, 3), b(1)}, [][2]int{{0, 2}, {0, 2}, {1, 2}, {1, 2}}, []int{2, 3, 2, 1}, 0},
		{"two hosts, bound", []place{a(0), b(0), a(1), b(1)}, [][2]int{{0, 2}, {0, 2}, {1, 2}, {1, 2}}, []int{1, 1, 1, 1}, 2},
		{"more ranks than processors", []place{a(0, 1), a(0, 1), a(0, 1)}, [][2]int{{0, 3}, {1, 3}, {2, 3}}, []int{1, 1, 1}, 0},
		{"containers of one name", []place{{Host: "a", Boot: "1", CPUs: []int{0, 1}}, {Host: "a", Boot: "2", CPUs: []int{0, 1}}}, [][2]int{{0, 1}, {0, 1}}, []int{2, 2}, 0},
	} {
		for r := range c.places {
			number, size := local(c.places, r)
			if got := [2]int{number, size}; got != c.local[r] {
				t.Errorf("%s: rank %d is %v on its host, want %v", c.name, r, got, c.local[r])
			}
			if got := share(c.places, r); got != c.share[r] {
				t.Errorf("%s: rank %d has %d threads, want %d", c.name, r, got, c.share[r])
			}
		}
		if notes := binding(c.places, "--so"); len(notes) != c.notes {
			t.Errorf("%s: %q, want %d", c.name, notes, c.notes)
		}
	}
	for list, want := range map[string]int{"0-1": 2, "0": 1, "0-3,8,10-11": 7, "": 0} {
		if got := countList(list); got != want {
			t.Errorf("%q has %d processors, want %d", list, got, want)
		}
	}
}
