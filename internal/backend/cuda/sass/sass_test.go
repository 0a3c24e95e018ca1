package sass

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	said = `ptxas info    : 20 bytes gmem
ptxas info    : Compiling entry function 'wide' for 'sm_80'
ptxas info    : Function properties for wide
    16 bytes stack frame, 24 bytes spill stores, 28 bytes spill loads
ptxas info    : Used 128 registers, used 1 barriers, 16 bytes cumulative stack size, 9216 bytes smem, 428 bytes cmem[0]
ptxas info    : Compiling entry function 'plain' for 'sm_80'
ptxas info    : Function properties for plain
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 10 registers, used 0 barriers
`
	usage = `
Resource usage:
 Common:
  GLOBAL:20 CONSTANT[4]:40
 Function wide:
  REG:128 STACK:16 SHARED:10240 LOCAL:0 CONSTANT[0]:560 TEXTURE:0 SURFACE:0 SAMPLER:0
 Function plain:
  REG:10 STACK:0 SHARED:0 LOCAL:0 CONSTANT[0]:548 TEXTURE:0 SURFACE:0 SAMPLER:0
`
	code = `	.target	sm_90
	.section	.text.wide,"ax",@progbits
wide:
        /*0000*/                   LDC R1, c[0x0][0x28] ;
        /*0010*/              @!P0 LDG.E.128 R4, desc[UR8][R4.64] ;
        /*0020*/              @UP0 LDG.E.128.CONSTANT R4, desc[UR8][R4.64] ;
        /*0030*/               @P1 STL [R1], R0 ;
        /*0040*/                   LDL.64 R2, [R1] ;
        /*0050*/                   STG.E.128 desc[UR8][R2.64], R8 ;
        /*0060*/                   STG.E.64 desc[UR8][R2.64], R8 ;
	.section	.text.plain,"ax",@progbits
plain:
        /*0000*/                   LDG.E R1, desc[UR8][R4.64] ;
`
)

func TestParse(t *testing.T) {
	kernels, err := parse(said)
	if err == nil {
		err = compare(kernels, usage, code)
	}
	want := []Kernel{
		{Name: "wide", Registers: 128, Stack: 16, SpillStores: 24, SpillLoads: 28, Shared: 9216, Local: 2, Loads: 2, Stores: 1},
		{Name: "plain", Registers: 10},
	}
	if err != nil || !slices.Equal(kernels, want) {
		t.Errorf("%+v, %v", kernels, err)
	}
	for what, c := range map[string][2]string{
		"other registers": {strings.Replace(usage, "REG:10", "REG:12", 1), code},
		"no code":         {usage, strings.Replace(code, "LDG.E R1", "", 1)},
		"no kernel":       {"", code},
	} {
		if err := compare(kernels, c[0], c[1]); err == nil {
			t.Errorf("%s: no error", what)
		}
	}
	if _, err := parse("nothing"); err == nil {
		t.Error("no kernels: no error")
	}
}

func TestProblems(t *testing.T) {
	source := `extern "C" __global__ void wide(int C, int vec) {` + "\n" + `extern "C" __global__ void plain(int C) {`
	good := []Kernel{{Name: "wide", Loads: 1, Stores: 1}, {Name: "plain"}}
	if p := Problems(source, good); len(p) > 0 {
		t.Errorf("%q", p)
	}
	for want, change := range map[string]func(k []Kernel) []Kernel{
		"1 kernels were compiled of 2":        func(k []Kernel) []Kernel { return k[:1] },
		"wide never loads 16 bytes at once":   func(k []Kernel) []Kernel { k[0].Loads = 0; return k },
		"wide never stores 16 bytes at once":  func(k []Kernel) []Kernel { k[0].Stores = 0; return k },
		"plain spills 4 and loads back 0":     func(k []Kernel) []Kernel { k[1].SpillStores = 4; return k },
		"a stack of 8 and 0 instructions":     func(k []Kernel) []Kernel { k[1].Stack = 8; return k },
		"a stack of 0 and 1 instructions for": func(k []Kernel) []Kernel { k[0].Local = 1; return k },
	} {
		if p := Problems(source, change(slices.Clone(good))); len(p) != 1 || !strings.Contains(p[0], want) {
			t.Errorf("%q, want %q", p, want)
		}
	}
}

func TestVersions(t *testing.T) {
	folder := t.TempDir()
	if _, err := Versions(folder); err == nil {
		t.Error("an empty folder has versions")
	}
	for _, name := range []string{"13.0", "12.9", "12.0", "other"} {
		if err := os.MkdirAll(filepath.Join(folder, name, "nvidia/cu13/bin"), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	all, err := Versions(folder)
	if err != nil || len(all) != 3 || all[0].Name != "12.0" || all[1].Name != "12.9" || all[2].Name != "13.0" {
		t.Errorf("%v, %v", all, err)
	}
	if _, err := Find(folder); err == nil || !strings.Contains(err.Error(), "tools/cuda_wheels.py") {
		t.Errorf("no tools: %v", err)
	}
}

// Occupancy is NVIDIA's own, of the header that its calculator is made of.
func TestOccupancy(t *testing.T) {
	for _, c := range []struct {
		registers, shared, threads, blocks int
		share                              float64
	}{
		{32, 0, 256, 8, 1},
		{80, 0, 256, 3, 0.375},
		{140, 9216, 224, 1, 7. / 64}, // 12 warps fit, and not 14
		{140, 9216, 128, 3, 12. / 64},
		{16, 40000, 256, 4, 0.5},
		{16, 0, 32, 32, 0.5},
	} {
		blocks, share, err := Occupancy("sm_80", Kernel{Registers: c.registers, Shared: c.shared}, c.threads)
		if err != nil || blocks != c.blocks || share != c.share {
			t.Errorf("%+v: %d, %v, %v", c, blocks, share, err)
		}
	}
	if _, _, err := Occupancy("sm_70", Kernel{}, 32); err == nil {
		t.Error("sm_70 has limits")
	}
	t.Run("header", occupancyOfHeader)
}

func occupancyOfHeader(t *testing.T) {
	headers, _ := filepath.Glob(filepath.Join(os.Getenv(FolderEnv), "*/nvidia/*/include/cuda_occupancy.h"))
	if os.Getenv(FolderEnv) == "" || len(headers) == 0 {
		t.Skip("no cuda_occupancy.h to compare with: set " + FolderEnv + " to a folder that tools/cuda_wheels.py made")
	}
	compiler, err := exec.LookPath("g++")
	if err != nil {
		t.Skip("no compiler for cuda_occupancy.h: install g++")
	}
	program := filepath.Join(t.TempDir(), "occupancy")
	cmd := exec.CommandContext(t.Context(), compiler, "-x", "c++", "-w", "-I", filepath.Dir(headers[len(headers)-1]), "-o", program, "-")
	cmd.Stdin = strings.NewReader(`
#include <cuda_occupancy.h>
#include <stdio.h>
int main() {
    struct { int major; size_t shared; } gpus[] = {{8, 164 << 10}, {9, 228 << 10}, {10, 228 << 10}};
    for (auto g : gpus) for (int registers = 16; registers < 255; registers += 2) for (int shared = 0; shared < 40000; shared += 3000) for (int threads = 32; threads <= 256; threads += 32) {
        cudaOccDeviceProp p = {};
        p.computeMajor = g.major, p.maxThreadsPerBlock = 1024, p.maxThreadsPerMultiprocessor = 2048;
        p.regsPerBlock = p.regsPerMultiprocessor = 65536, p.warpSize = 32, p.numSms = 100;
        p.sharedMemPerBlock = 48 << 10, p.sharedMemPerMultiprocessor = g.shared, p.sharedMemPerBlockOptin = g.shared - 1024, p.reservedSharedMemPerBlock = 1024;
        cudaOccFuncAttributes a = {};
        a.maxThreadsPerBlock = 1024, a.numRegs = registers, a.sharedSizeBytes = shared, a.maxDynamicSharedSizeBytes = 48 << 10;
        cudaOccDeviceState s = {};
        s.carveoutConfig = SHAREDMEM_CARVEOUT_MAX_SHARED;
        cudaOccResult r;
        int e = cudaOccMaxActiveBlocksPerMultiprocessor(&r, &p, &a, &s, threads, 0);
        printf("%d %d %d %d %d\n", g.major * 10, registers, shared, threads, e ? -e : r.activeBlocksPerMultiprocessor);
    }
}`)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	out, err := exec.CommandContext(t.Context(), program).Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	for _, line := range lines {
		var number, registers, shared, threads, want int
		if _, err := fmt.Sscan(line, &number, &registers, &shared, &threads, &want); err != nil {
			t.Fatal(err)
		}
		got, _, err := Occupancy(fmt.Sprintf("sm_%d", number), Kernel{Registers: registers, Shared: shared}, threads)
		if err != nil || got != want {
			t.Fatalf("sm_%d, %d registers, %d bytes shared, %d threads: %d blocks, NVIDIA's calculator has %d, %v", number, registers, shared, threads, got, want, err)
		}
	}
	t.Logf("%d launches as by %s", len(lines), headers[len(headers)-1])
}
