// CUDA C++ as C++17, to run kernels on a processor: what nvrtc knows by itself
// and the kernels use. A grid's blocks run one after the other; the threads of a
// block are fibers that change places at each __syncthreads.
#include <math.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#ifdef COUNTED
// gcc calls these before each access to memory, if it is told that the kernel of an
// operating system looks for errors by them (-fsanitize=kernel-address).
#define UNCOUNTED __attribute__((no_sanitize("kernel-address")))
static struct { char* base; size_t bytes; unsigned char* seen; } watched[1024];
static int watches;

// watch marks what kernels touch of some memory in seen; all is forgotten if that is null.
extern "C" UNCOUNTED void watch(char* base, size_t bytes, unsigned char* seen) {
    if (!seen) {
        watches = 0;
    } else if (watches < 1024) {
        watched[watches++] = {base, bytes, seen};
    }
}

static UNCOUNTED void touched(void* p, size_t bytes, int how) {
    for (int i = 0; i < watches; i++) {
        size_t at = (char*)p - watched[i].base;
        if (at >= watched[i].bytes) continue;
        for (size_t k = 0; k < bytes; k++) watched[i].seen[at + k] |= how;
        return;
    }
}

#define ACCESS(bytes) \
    extern "C" UNCOUNTED void __asan_load##bytes##_noabort(void* p) { touched(p, bytes, 1); } \
    extern "C" UNCOUNTED void __asan_store##bytes##_noabort(void* p) { touched(p, bytes, 2); }
ACCESS(1) ACCESS(2) ACCESS(4) ACCESS(8) ACCESS(16)
extern "C" UNCOUNTED void __asan_loadN_noabort(void* p, size_t bytes) { touched(p, bytes, 1); }
extern "C" UNCOUNTED void __asan_storeN_noabort(void* p, size_t bytes) { touched(p, bytes, 2); }
extern "C" void __asan_handle_no_return() {}
#endif

#define __global__
#define __device__
#define __shared__ static

struct uint3 {
    unsigned x, y, z;
};
static uint3 threadIdx, blockIdx, blockDim, gridDim;

struct alignas(8) float2 {
    float x, y;
};
static inline float2 make_float2(float x, float y) { return float2{x, y}; }
struct alignas(16) float4 {
    float x, y, z, w;
};
struct alignas(16) uint4 {
    unsigned x, y, z, w;
};
struct alignas(8) uint2 {
    unsigned x, y;
};
static inline uint2 make_uint2(unsigned x, unsigned y) { return uint2{x, y}; }
static inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return uint4{x, y, z, w}; }
static inline float __uint_as_float(unsigned u) { float f; memcpy(&f, &u, 4); return f; }
static inline unsigned __float_as_uint(float f) { unsigned u; memcpy(&u, &f, 4); return u; }
static inline float4 make_float4(float x, float y, float z, float w) { return float4{x, y, z, w}; }

#define __expf expf // math.h has the name for something else
static inline float __fdividef(float a, float b) { return a / b; }
static inline float __fadd_rn(float a, float b) { return a + b; }
static inline float __fmul_rn(float a, float b) { return a * b; }

const int MostThreads = 1024;
const int StackBytes = 64 << 10;

// Fibers: each has a stack, and where it goes on.
static struct Fiber {
    jmp_buf at;
    ucontext_t context;
    bool begun, done;
} fibers[MostThreads];
static char* stacks;
static jmp_buf scheduler;
static ucontext_t home;
static int current;
static void (*body)(void**);
static void** bodyArgs;

static uint3 place(int t) {
    return uint3{t % blockDim.x, t / blockDim.x % blockDim.y, t / blockDim.x / blockDim.y};
}

static void fiber() {
    body(bodyArgs);
    fibers[current].done = true;
    _longjmp(scheduler, 1);
}

// __syncthreads lets the others come as far.
static inline void __syncthreads() {
    int t = current;
    if (!_setjmp(fibers[t].at)) _longjmp(scheduler, 1);
}

// resume runs a fiber until it waits or ends.
static void resume(int t) {
    current = t;
    threadIdx = place(t);
    if (_setjmp(scheduler)) return;
    if (fibers[t].begun) _longjmp(fibers[t].at, 1);
    fibers[t].begun = true;
    getcontext(&fibers[t].context);
    fibers[t].context.uc_stack.ss_sp = stacks + (size_t)t * StackBytes;
    fibers[t].context.uc_stack.ss_size = StackBytes;
    fibers[t].context.uc_link = &home;
    makecontext(&fibers[t].context, fiber, 0);
    setcontext(&fibers[t].context);
}

static float warpF[MostThreads];
static double warpD[MostThreads];

// __shfl_down_sync of all threads of a block: lanes that read past their warp keep
// their own value.
static inline float __shfl_down_sync(unsigned, float v, int offset) {
    int t = current;
    warpF[t] = v;
    __syncthreads();
    float r = t % 32 + offset < 32 ? warpF[t + offset] : v;
    __syncthreads();
    return r;
}
static inline double __shfl_down_sync(unsigned, double v, int offset) {
    int t = current;
    warpD[t] = v;
    __syncthreads();
    double r = t % 32 + offset < 32 ? warpD[t + offset] : v;
    __syncthreads();
    return r;
}

// emulateMultiplyAdd16 is mma.m16n8k16 of bf16, by all threads of a block. A thread that
// is ahead of others may be at the next product, and leaves its part of that elsewhere.
static struct { unsigned a[4], b[2]; } operands[2][MostThreads];
static unsigned char products[MostThreads];

static inline float half(unsigned pair, int i) { return __uint_as_float(i ? pair & 0xffff0000u : pair << 16); }

static inline void emulateMultiplyAdd16(float* d, const unsigned* a, const unsigned* b) {
    int t = current, warp = t / 32 * 32, lane = t % 32;
    auto* all = operands[products[t] ^= 1];
    memcpy(all[t].a, a, sizeof all[t].a), memcpy(all[t].b, b, sizeof all[t].b);
    __syncthreads();
    for (int i = 0; i < 4; i++) {
        int row = lane / 4, high = i / 2, column = lane % 4 * 2 + i % 2;
        float sum = 0;
        for (int k = 0; k < 16; k++) {
            unsigned left = all[warp + row * 4 + k % 8 / 2].a[k / 8 * 2 + high];
            unsigned right = all[warp + column * 4 + k % 8 / 2].b[k / 8];
            sum += half(left, k % 2) * half(right, k % 2);
        }
        d[i] += sum;
    }
}

// run runs a kernel over a grid. A kernel that never waits needs no fibers. Every other
// launch goes through blocks and threads backwards: what depends on their order gives
// other results then.
static void run(void (*kernel)(void**), bool waits, const unsigned* grid, const unsigned* block, void** args) {
    static bool backwards;
    backwards = !backwards;
    auto nth = [](int i, int n) { return backwards ? n - 1 - i : i; };
    if (!stacks) stacks = (char*)malloc((size_t)MostThreads * StackBytes);
    gridDim = uint3{grid[0], grid[1], grid[2]};
    blockDim = uint3{block[0], block[1], block[2]};
    body = kernel, bodyArgs = args;
    int threads = block[0] * block[1] * block[2];
    long long blocks = (long long)grid[0] * grid[1] * grid[2];
    for (long long i = 0; i < blocks; i++) {
        long long b = backwards ? blocks - 1 - i : i;
        blockIdx = uint3{(unsigned)(b % grid[0]), (unsigned)(b / grid[0] % grid[1]), (unsigned)(b / grid[0] / grid[1])};
        if (!waits) {
            for (int t = 0; t < threads; t++) threadIdx = place(nth(t, threads)), kernel(args);
            continue;
        }
        for (int t = 0; t < threads; t++) fibers[t].begun = fibers[t].done = false;
        for (bool left = true; left;) {
            left = false;
            for (int t = 0; t < threads; t++) {
                int f = nth(t, threads);
                if (!fibers[f].done) resume(f), left = left || !fibers[f].done;
            }
        }
    }
}
