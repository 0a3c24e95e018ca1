// What the driver package calls of libcuda, libcublasLt and libnvrtc, on the
// processor: device memory is malloc's, copies between host and device are done as
// late as they may be and other work at once, and every handle that is given out is
// counted until it comes back. It is compiled three times, as the three libraries, and
// with -DWITHOUT_NAME to lack a function. The driver has one kernel or, with
// -DKERNELS="FILE:FILE", those of shared objects that emulated.Kernels made.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

typedef unsigned long long u64;

#ifdef DRIVER

static const char* failing = "";
static int failCode, failAfter, lost, left;
static unsigned waiting;
static u64 spent;

// fake_spend has the device's clock go on by so many milliseconds.
void fake_spend(int milliseconds) { spent += milliseconds; }

// fake_fail makes the call of a name after so many fail with a code; every call
// after it too, if the code is one that loses the device.
void fake_fail(const char* name, int code, int after) { failing = strdup(name), failCode = code, failAfter = after, lost = 0; }

// fake_wait makes each wait take so many microseconds.
void fake_wait(int microseconds) { waiting = microseconds; }

// fake_left is how many handles are still out.
int fake_left(void) { return left; }

static int fails(const char* name) {
    if (lost) return lost;
    if (strcmp(name, failing) || failAfter-- > 0) return 0;
    failing = "";
    if (failCode >= 700) lost = failCode;
    return failCode;
}
#define CALL \
    do { \
        int code = fails(__func__); \
        if (code) return code; \
    } while (0)

// What works in a context: one must be current on the calling thread.
static __thread void* current;
#define IN_CONTEXT \
    do { \
        if (!current) return 201; \
        CALL; \
    } while (0)

// A stream's copies between host and device that are queued. They are done when
// something waits for them, or when other work comes after them on the stream. Another
// stream's work does not do them.
typedef struct { struct { void* to; const void* from; size_t bytes; } queue[4096]; size_t queued, done; } Stream;
typedef struct { Stream* stream; size_t count; unsigned flags; struct timespec at; } Event;
static Stream* streams[8]; // the first is the one for all but staged copies
static void finish(Stream* s, size_t count) {
    for (; s->done < count; s->done++) memcpy(s->queue[s->done % 4096].to, s->queue[s->done % 4096].from, s->queue[s->done % 4096].bytes);
}
static void finishAll(void) {
    for (int i = 0; i < 8; i++) if (streams[i]) finish(streams[i], streams[i]->queued);
}
static int later(Stream* s, void* to, const void* from, size_t bytes) {
    if (s->queued - s->done == 4096) finish(s, s->queued);
    s->queue[s->queued % 4096].to = to, s->queue[s->queued % 4096].from = from, s->queue[s->queued % 4096].bytes = bytes;
    s->queued++;
    return 0;
}
#define AFTER(stream) finish(stream, ((Stream*)(stream))->queued)

// Work is what a stream does, or a graph keeps.
typedef struct Work { void (*run)(void*); struct Work* next; char closure[] __attribute__((aligned(16))); } Work;
typedef struct { Work *first, **last; int uses; } Graph;
static Graph* captured; // while a graph is

// fake_do does work on a stream, or keeps it, with a copy of its closure.
int fake_do(void* stream, void (*run)(void*), const void* closure, size_t bytes) {
    if (!captured) {
        AFTER(stream);
        run((void*)closure);
        return 0;
    }
    Work* w = malloc(sizeof *w + bytes);
    w->run = run, w->next = 0;
    memcpy(w->closure, closure, bytes);
    *captured->last = w, captured->last = &w->next;
    return 0;
}
typedef struct { char* to; const char* from; int value; size_t bytes; } Bytes;
static void copyBytes(void* c) { Bytes* b = c; memmove(b->to, b->from, b->bytes); }
static void setBytes(void* c) { Bytes* b = c; memset(b->to, b->value, b->bytes); }
#define WAITING \
    do { \
        IN_CONTEXT; \
        if (captured) return 900; \
    } while (0)

int cuDriverGetVersion(int* v) { *v = VERSION; return 0; }
int cuGetErrorName(int code, const char** name) {
    *name = code == 2 ? "CUDA_ERROR_OUT_OF_MEMORY" : code == 100 ? "CUDA_ERROR_NO_DEVICE" : code == 200 ? "CUDA_ERROR_INVALID_IMAGE"
          : code == 500 ? "CUDA_ERROR_NOT_FOUND" : code == 700 ? "CUDA_ERROR_ILLEGAL_ADDRESS" : code == 719 ? "CUDA_ERROR_LAUNCH_FAILED" : 0;
    return *name ? 0 : 1;
}
// cuInit takes what fake_fail does from FAKE_FAIL=NAME:CODE:AFTER too.
int cuInit(unsigned flags) {
    CALL;
    char* text = getenv("FAKE_FAIL");
    static char name[64];
    if (text && sscanf(text, "%63[^:]:%d:%d", name, &failCode, &failAfter) == 3) failing = name, lost = 0;
    return 0;
}
int cuDeviceGetCount(int* n) { CALL; *n = 1; return 0; }
int cuDeviceGet(int* d, int i) { CALL; *d = i; return 0; }
int cuDeviceGetName(char* name, int n, int d) { CALL; snprintf(name, n, "Fake GPU"); return 0; }
int cuDeviceTotalMem_v2(size_t* n, int d) { CALL; *n = 2l << 30; return 0; }
int cuDeviceGetAttribute(int* v, int a, int d) { CALL; *v = a == 75 ? 9 : a == 76 ? 0 : -1; return 0; }
int cuDevicePrimaryCtxRetain(void** c, int d) { CALL; left++; *c = (void*)1; return 0; }
int cuDevicePrimaryCtxRelease_v2(int d) { left--; CALL; return 0; }
int cuCtxSetCurrent(void* c) { current = c; return c == (void*)1 ? 0 : 201; }
int cuMemGetInfo_v2(size_t* free, size_t* total) { IN_CONTEXT; *free = 1 << 30, *total = 2l << 30; return 0; }
int cuMemAlloc_v2(u64* p, size_t n) { IN_CONTEXT; if (n > 1 << 30) return 2; left++; *p = (u64)aligned_alloc(256, (n + 255) / 256 * 256); memset((void*)*p, 0xff, n); return 0; }
int cuMemFree_v2(u64 p) { finishAll(); left--; free((void*)p); IN_CONTEXT; return 0; }
int cuMemHostAlloc(void** p, size_t n, unsigned flags) { IN_CONTEXT; left++; *p = malloc(n); return 0; }
int cuMemFreeHost(void* p) { finishAll(); left--; free(p); IN_CONTEXT; return 0; }
int cuMemcpyHtoDAsync_v2(u64 d, const void* s, size_t n, void* stream) { IN_CONTEXT; return later(stream, (void*)d, s, n); }
int cuMemcpyDtoHAsync_v2(void* d, u64 s, size_t n, void* stream) { IN_CONTEXT; return later(stream, d, (void*)s, n); }
int cuMemcpyDtoDAsync_v2(u64 d, u64 s, size_t n, void* stream) { IN_CONTEXT; return fake_do(stream, copyBytes, &(Bytes){(char*)d, (char*)s, 0, n}, sizeof(Bytes)); }
int cuMemsetD8Async(u64 d, unsigned char v, size_t n, void* stream) { IN_CONTEXT; return fake_do(stream, setBytes, &(Bytes){(char*)d, 0, v, n}, sizeof(Bytes)); }
int cuStreamCreate(void** s, unsigned flags) {
    IN_CONTEXT;
    int i = 0;
    while (i < 8 && streams[i]) i++;
    if (flags != 1 || i == 8) return 1;
    left++;
    *s = streams[i] = calloc(1, sizeof(Stream));
    return 0;
}
int cuStreamDestroy_v2(void* s) {
    left--;
    for (int i = 0; i < 8; i++) if (streams[i] == s) streams[i] = 0;
    free(s);
    IN_CONTEXT;
    return 0;
}
int cuStreamSynchronize(void* s) { WAITING; AFTER(s); usleep(waiting); return 0; }
int cuStreamWaitEvent(void* s, Event* e, unsigned flags) { IN_CONTEXT; finish(e->stream, e->count); return flags; }
int cuEventCreate(Event** e, unsigned flags) { IN_CONTEXT; left++; *e = calloc(1, sizeof(Event)), (*e)->flags = flags; return flags != 0 && flags != 2; }
int cuEventDestroy_v2(void* e) { left--; free(e); IN_CONTEXT; return 0; }
int cuEventRecord(Event* e, Stream* s) { IN_CONTEXT; e->stream = s, e->count = s->queued; clock_gettime(CLOCK_MONOTONIC, &e->at); e->at.tv_sec += spent / 1000, e->at.tv_nsec += spent % 1000 * 1000000; return 0; }
int cuEventElapsedTime(float* ms, Event* a, Event* b) {
    IN_CONTEXT;
    if (a->flags || b->flags || !a->stream || !b->stream) return 400;
    *ms = (b->at.tv_sec - a->at.tv_sec) * 1e3 + (b->at.tv_nsec - a->at.tv_nsec) / 1e6;
    return 0;
}
int cuEventQuery(Event* e) { IN_CONTEXT; return e->stream && e->stream->done < e->count ? 600 : 0; }
int cuEventSynchronize(Event* e) { WAITING; if (e->stream) finish(e->stream, e->count); usleep(waiting); return 0; }
int cuModuleLoadData(void** m, const void* image) { IN_CONTEXT; if (strncmp(image, "kernels:", 8)) return 200; left++; *m = strdup(image); return 0; }
int cuModuleUnload(void* m) { left--; free(m); IN_CONTEXT; return 0; }
#ifdef KERNELS

// The kernels of shared objects: a function is a library's index and a kernel's number.
static struct {
    int (*find)(const char*), (*parameters)(int, const int**);
    void (*launch)(int, const unsigned*, const unsigned*, void**);
} objects[8];
typedef struct { int object, number; } Function;
static Function functions[4096];

static void openObjects(void) {
    char* all = strdup(KERNELS);
    for (int i = 0; !objects[0].find || (all = strtok(0, ":")); i++) {
        void* o = dlopen(i ? all : strtok(all, ":"), RTLD_NOW | RTLD_LOCAL);
        objects[i].find = dlsym(o, "find"), objects[i].parameters = dlsym(o, "parameters"), objects[i].launch = dlsym(o, "launch");
    }
}

int cuModuleGetFunction(void** f, void* m, const char* name) {
    IN_CONTEXT;
    if (!objects[0].find) openObjects();
    static int count;
    for (int i = 0; i < 8 && objects[i].find; i++) {
        int number = objects[i].find(name);
        if (number < 0) continue;
        functions[count] = (Function){i, number}, *f = &functions[count++ % 4096];
        return 0;
    }
    return 500;
}

// A launch keeps its arguments' values, each from a multiple of 16 bytes on.
typedef struct { Function f; unsigned grid[3], block[3]; char values[32][64] __attribute__((aligned(16))); } Launched;
static void launchKernel(void* c) {
    Launched* l = c;
    void* args[32];
    for (int i = 0; i < 32; i++) args[i] = l->values[i];
    objects[l->f.object].launch(l->f.number, l->grid, l->block, args);
}

int cuLaunchKernel(Function* f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared, void* stream, void** args, void** extra) {
    IN_CONTEXT;
    const int* sizes;
    int count = objects[f->object].parameters(f->number, &sizes);
    if (!gx || !gy || !gz || !(bx * by * bz) || bx * by * bz > 1024 || bz > 64 || gy > 65535 || gz > 65535 || shared || count > 32 || extra) return 1;
    Launched l = {*f, {gx, gy, gz}, {bx, by, bz}};
    for (int i = 0; i < count; i++) memcpy(l.values[i], args[i], sizes[i]);
    return fake_do(stream, launchKernel, &l, sizeof l);
}

#else

int cuModuleGetFunction(void** f, void* m, const char* name) {
    IN_CONTEXT;
    *f = strstr(m, name);
    return *f ? 0 : 500;
}

// The one kernel: p[i] += v for i < n.
typedef struct { float* p; float v; int n; } Launched;
static void add(void* c) { Launched* l = c; for (int i = 0; i < l->n; i++) l->p[i] += l->v; }

int cuLaunchKernel(void* f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared, void* stream, void** args, void** extra) {
    IN_CONTEXT;
    if (gx != 2 || gy != 3 || gz != 4 || bx != 5 || by != 6 || bz != 7 || shared != 8 || stream != streams[0] || extra) return 1;
    return fake_do(stream, add, &(Launched){*(float**)args[0], *(float*)args[1], *(int*)args[2]}, sizeof(Launched));
}

#endif

// A graph is used by its handle and by its instances.
static void unuse(Graph* g) {
    if (--g->uses > 0) return;
    for (Work *w = g->first, *next; w; w = next) next = w->next, free(w);
    free(g);
}
int cuStreamBeginCapture_v2(void* s, int mode) {
    IN_CONTEXT;
    captured = calloc(1, sizeof *captured);
    captured->last = &captured->first, captured->uses = 1;
    return 0;
}
int cuStreamEndCapture(void* s, Graph** g) {
    *g = captured, captured = 0;
    int code = fails(__func__);
    if (code) unuse(*g), *g = 0; else left++;
    return code;
}
int cuGraphInstantiateWithFlags(Graph** e, Graph* g, u64 flags) { IN_CONTEXT; left++; g->uses++; *e = g; return 0; }
#ifndef WITHOUT_cuGraphLaunch
int cuGraphLaunch(Graph* e, void* s) { IN_CONTEXT; AFTER(s); for (Work* w = e->first; w; w = w->next) w->run(w->closure); return 0; }
#endif
int cuGraphExecDestroy(Graph* e) { left--; unuse(e); IN_CONTEXT; return 0; }
int cuGraphDestroy(Graph* g) { left--; unuse(g); IN_CONTEXT; return 0; }

#elif defined(CUBLASLT)

typedef struct { int compute, transA, transB, epilogue; void* bias; } Desc;
typedef struct { u64 rows, columns; int64_t ld; int type; } Layout;

// Values are float32 (type 0) or bf16 (14).
static float get(const void* p, Layout* l, u64 i) {
    if (l->type == 0) return ((float*)p)[i];
    uint32_t u = (uint32_t)((uint16_t*)p)[i] << 16;
    float f;
    memcpy(&f, &u, 4);
    return f;
}
static void put(void* p, Layout* l, u64 i, float f) {
    uint32_t u;
    memcpy(&u, &f, 4);
    if (l->type == 0) ((float*)p)[i] = f; else ((uint16_t*)p)[i] = f != f ? 0x7fff : (u + 0x7fff + (u >> 16 & 1)) >> 16;
}
static int left;
int fake_left(void) { return left; }

#ifndef BLAS_VERSION
#define BLAS_VERSION 130100
#endif
size_t cublasLtGetVersion(void) { return BLAS_VERSION; }
const char* cublasLtGetStatusName(int code) { return code == 7 ? "CUBLAS_STATUS_INVALID_VALUE" : code == 14 ? "CUBLAS_STATUS_INTERNAL_ERROR" : code == 15 ? "CUBLAS_STATUS_NOT_SUPPORTED" : "?"; }
int cublasLtCreate(void** h) { left++; *h = malloc(1); return 0; }
int cublasLtDestroy(void* h) { left--; free(h); return 0; }
int cublasLtMatmulDescCreate(void** d, int compute, int type) {
    if (type != 0) return 7;
    left++;
    Desc* p = calloc(1, sizeof *p);
    p->compute = compute, p->epilogue = 1;
    *d = p;
    return 0;
}
int cublasLtMatmulDescDestroy(void* d) { left--; free(d); return 0; }
int cublasLtMatmulDescSetAttribute(Desc* d, int a, const void* v, size_t n) {
    if (a == 8 ? n != 8 : n != 4) return 7;
    if (a == 3) d->transA = *(int*)v; else if (a == 4) d->transB = *(int*)v; else if (a == 7) d->epilogue = *(int*)v; else if (a == 8) d->bias = *(void**)v; else return 7;
    return 0;
}
int cublasLtMatrixLayoutCreate(void** l, int type, u64 rows, u64 columns, int64_t ld) {
    if (type != 0 && type != 14 || ld < (int64_t)rows) return 7;
    left++;
    Layout* p = malloc(sizeof *p);
    *p = (Layout){rows, columns, ld, type};
    *l = p;
    return 0;
}
int cublasLtMatrixLayoutDestroy(void* l) { left--; free(l); return 0; }
int cublasLtMatmulPreferenceCreate(void** p) { left++; *p = calloc(16, 8); return 0; }
int cublasLtMatmulPreferenceDestroy(void* p) { left--; free(p); return 0; }
int cublasLtMatmulPreferenceSetAttribute(u64* p, int a, const void* v, size_t n) {
    if (a == 1 && n == 8) p[1] = *(u64*)v; else if (a == 3 && n == 4) p[3] = *(unsigned*)v; else if (a >= 5 && a <= 8 && n == 4) p[a] = *(unsigned*)v; else return 7;
    return 0;
}
enum { ALGORITHMS = 3 };
static const int costs[ALGORITHMS] = {200, 400, 0}; // milliseconds of the device's clock
int cublasLtMatmulAlgoGetHeuristic(void* h, Desc* d, Layout* a, Layout* b, Layout* c, Layout* e, u64* p, int asked, void* results, int* found) {
    if (asked < 1 || p[1] != 32 << 20 || p[3] != 2 || !p[5] || p[5] != p[8]) return 7;
    // Shapes that there are few algorithms for: results of 78 columns in float32, of 79 on
    // any address, of 80 without a bias, of 81 none.
    if (e->rows == 78 && d->compute != 68 || e->rows == 79 && (d->compute != 68 || p[5] > (a->type ? 2 : 4)) || e->rows == 80 && d->epilogue == 4) return 15;
    if (e->rows == 81) return *found = 0;
    if (d->compute != 68 && d->compute != 75 && d->compute != 77) { *found = 0; return 15; }
    // The bias's address says how it is aligned.
    if (d->epilogue == 4 && (!d->bias || ((u64)d->bias & -(u64)d->bias) != p[5])) return 15;
    // There are ALGORITHMS, which are told apart by their first bytes.
    *found = asked < ALGORITHMS ? asked : ALGORITHMS;
    for (int i = 0; i < *found; i++) {
        char* r = (char*)results + 96 * i;
        memset(r, 0x5a, 64);
        *r = i;
        memset(r + 64, 0, 32);
    }
    if (e->rows == 77) ((int*)results)[18] = 14; // state
    return 0;
}
int cublasLtMatmulAlgoCheck(void* h, Desc* d, Layout* a, Layout* b, Layout* c, Layout* e, const unsigned char* algorithm, char* result) {
    if (algorithm[63] != 0x5a || *algorithm >= ALGORITHMS) return 15;
    memset(result + 64, 0, 32);
    return 0;
}

// D = op(A)·op(B) + beta*C + bias, all column-major; the bias is one value a row of D,
// of D's type.
typedef struct { Desc d; Layout a, b, c, e; float beta; const void *A, *B, *C; void* D; int algorithm; void (*spend)(int); } Product;
static void multiply(void* closure) {
    Product* p = closure;
    p->spend(costs[p->algorithm]);
    Desc* d = &p->d;
    Layout *a = &p->a, *b = &p->b, *c = &p->c, *e = &p->e;
    u64 k = d->transA ? a->rows : a->columns;
    float* row = malloc(k * e->rows * sizeof *row);       // op(A), by columns
    double* sums = malloc(e->rows * sizeof *sums);
    for (u64 t = 0; t < k; t++)
        for (u64 i = 0; i < e->rows; i++) row[t * e->rows + i] = get(p->A, a, d->transA ? i * a->ld + t : t * a->ld + i);
    for (u64 j = 0; j < e->columns; j++) {
        for (u64 i = 0; i < e->rows; i++) {
            sums[i] = d->epilogue == 4 ? get(d->bias, e, i) : 0;
            if (p->beta) sums[i] += p->beta * get(p->C, c, j * c->ld + i);
        }
        for (u64 t = 0; t < k; t++) {
            double v = get(p->B, b, d->transB ? t * b->ld + j : j * b->ld + t);
            const float* f = row + t * e->rows;
            for (u64 i = 0; i < e->rows; i++) sums[i] += v * f[i];
            if (p->algorithm) // others have other last bits
                for (u64 i = 0; i < e->rows; i++) sums[i] = (float)sums[i];
        }
        for (u64 i = 0; i < e->rows; i++) put(p->D, e, j * e->ld + i, (float)sums[i]);
    }
    free(row), free(sums);
}
int cublasLtMatmul(void* h, Desc* d, const float* alpha, const float* A, Layout* a, const float* B, Layout* b, const float* beta, const float* C, Layout* c,
                   float* D, Layout* e, const unsigned char* algorithm, void* workspace, size_t bytes, void* stream) {
    if (*alpha != 1 || *beta != 0 && *beta != 1 || algorithm[63] != 0x5a || *algorithm >= ALGORITHMS || !workspace || bytes != 32 << 20 || !stream || *beta == 0 && C != D) return 7;
    u64 k = d->transA ? a->rows : a->columns;
    if (e->rows != (d->transA ? a->columns : a->rows) || e->columns != (d->transB ? b->rows : b->columns) || k != (d->transB ? b->columns : b->rows)) return 7;
    Product p = {*d, *a, *b, *c, *e, *beta, A, B, C, D, *algorithm};
    static int (*todo)(void*, void (*)(void*), const void*, size_t);
    static void (*spend)(int);
    if (!todo) { // of the driver beside this library
        char path[4096];
        Dl_info own;
        dladdr(cublasLtMatmul, &own);
        snprintf(path, sizeof path, "%.*slibcuda.so.1", (int)(strrchr(own.dli_fname, '/') + 1 - own.dli_fname), own.dli_fname);
        todo = dlsym(dlopen(path, RTLD_NOW), "fake_do"), spend = dlsym(dlopen(path, RTLD_NOW), "fake_spend");
    }
    p.spend = spend;
    return todo(stream, multiply, &p, sizeof p);
}

#else // NVRTC

typedef struct { char* source; char log[100]; } Program;
int nvrtcVersion(int* major, int* minor) { *major = 13, *minor = 1; return 0; }
const char* nvrtcGetErrorString(int code) { return code == 6 ? "NVRTC_ERROR_COMPILATION" : "?"; }
int nvrtcCreateProgram(Program** p, const char* source, const char* name, int n, void* a, void* b) {
    *p = calloc(1, sizeof **p);
    (*p)->source = strdup(source);
    return 0;
}
int nvrtcDestroyProgram(Program** p) { free((*p)->source), free(*p); return 0; }
int nvrtcCompileProgram(Program* p, int n, const char** options) {
    if (strstr(p->source, "#error")) { snprintf(p->log, 100, "line 1: #error"); return 6; }
    snprintf(p->log, 100, "%s", options[n - 1]);
    return 0;
}
int nvrtcGetProgramLogSize(Program* p, size_t* n) { *n = strlen(p->log) + 1; return 0; }
int nvrtcGetProgramLog(Program* p, char* log) { strcpy(log, p->log); return 0; }
int nvrtcGetPTXSize(Program* p, size_t* n) { *n = 4; return 0; }
int nvrtcGetPTX(Program* p, char* out) { memcpy(out, "ptx", 4); return 0; }
int nvrtcGetCUBINSize(Program* p, size_t* n) { *n = 8 + strlen(p->source); return 0; }
int nvrtcGetCUBIN(Program* p, char* out) { memcpy(out, "kernels:", 8), memcpy(out + 8, p->source, strlen(p->source)); return 0; }

#endif
