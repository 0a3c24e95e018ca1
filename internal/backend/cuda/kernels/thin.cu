// Dense convolutions of maps of few channels, such as images: a block reads the windows of
// some results into shared memory and multiplies them there, so that no patches are gathered
// in the card's memory. Of windows of at most MostTaps values.

const int MostTaps = 32;
const int ThinPixels = 64;  // results of a tile, which begin anywhere in a row
const int ThinColumns = 32; // channels of a block
const int ThinThreads = 128;
const int ThinApart = MostTaps + 4; // floats from window to window in shared memory

// Thin is what a block has to do: some tiles of the results, and some of their channels.
// blockIdx.x is part, block of channels, the last fastest.
struct Thin {
    Shape s;
    int pixels, depth, n0;
    Size part, from, to; // tiles

    __device__ Thin(const Shape& s, int parts) : s(s), pixels(s.N * s.OutH * s.OutW), depth(s.Kernel * s.Kernel * s.In) {
        int over = blocksOf(s.Out, ThinColumns);
        Size tiles = blocksOf(pixels, ThinPixels);
        n0 = blockIdx.x % over * ThinColumns, part = blockIdx.x / over;
        from = tiles * part / parts, to = tiles * (part + 1) / parts;
    }

    // window of a result; beyond the last it is the last's.
    __device__ Window window(const Map* x, int m) const {
        if (m >= pixels) m = pixels - 1;
        return Window(x, s, m / s.OutW / s.OutH, m / s.OutW % s.OutH, m % s.OutW);
    }

    // value of a window: 0 for what makes windows a multiple of what is read at once.
    __device__ float value(const Window& w, const int* taps, int k) const {
        const Map* at = k < depth ? w.at(taps[k]) : nullptr;
        return at ? load<1>(at).v[0] : 0;
    }
};

__device__ inline void putTaps(const Thin& t, int* taps) {
    for (int k = threadIdx.x; k < t.depth; k += ThinThreads) taps[k] = packTap(t.s, k);
}

// putWindows makes the windows of a tile, [ThinPixels,ThinApart].
__device__ inline void putWindows(const Thin& t, const Map* x, const int* taps, int m0, float* windows) {
    int p = threadIdx.x % ThinPixels;
    Window w = t.window(x, m0 + p);
    for (int k = threadIdx.x / ThinPixels * 4; k < t.depth; k += ThinThreads / ThinPixels * 4) {
        Vec<4> v;
        for (int i = 0; i < 4; i++) v.v[i] = t.value(w, taps, k + i);
        store<4>(windows + p * ThinApart + k, v);
    }
}

// thinConv: y = x*w. Out is a multiple of 4. Launch: ThinThreads threads, of which each has
// 4 channels of 4 results.
extern "C" __global__ void thinConv(const Map* x, const float* w, Map* y, Shape s, int parts) {
    __shared__ float4 windowMemory[ThinPixels * ThinApart / 4], weightMemory[MostTaps * ThinColumns / 4];
    __shared__ int taps[MostTaps];
    float *windows = (float*)windowMemory, *weights = (float*)weightMemory;
    Thin t(s, parts);
    putTaps(t, taps);
    for (int i = threadIdx.x; i < MostTaps * ThinColumns; i += ThinThreads) {
        int k = i / ThinColumns, n = t.n0 + i % ThinColumns;
        weights[i] = k < t.depth && n < s.Out ? w[k * s.Out + n] : 0;
    }
    int quad = threadIdx.x % (ThinColumns / 4) * 4, first = threadIdx.x / (ThinColumns / 4) * 4;
    for (Size tile = t.from; tile < t.to; tile++) {
        int m0 = (int)tile * ThinPixels;
        __syncthreads(); // the taps are there, and the tile before is done
        putWindows(t, x, taps, m0, windows);
        __syncthreads();
        Vec<4> sums[4];
        for (int p = 0; p < 4; p++) sums[p] = zero<4>();
        for (int k = 0; k < t.depth; k += 4) {
            Vec<4> v[4];
            for (int p = 0; p < 4; p++) v[p] = load<4>(windows + (first + p) * ThinApart + k);
            for (int i = 0; i < 4; i++) {
                Vec<4> f = load<4>(weights + (k + i) * ThinColumns + quad);
                for (int p = 0; p < 4; p++) {
                    for (int c = 0; c < 4; c++) sums[p].v[c] += v[p].v[i] * f.v[c];
                }
            }
        }
        for (int p = 0; p < 4; p++) {
            if (m0 + first + p < t.pixels && t.n0 + quad < s.Out) store<4>(y + (Size)(m0 + first + p) * s.Out + t.n0 + quad, sums[p]);
        }
    }
}

// thinGrad: the parts' gradients of thinConv's weights, dw [parts,Kernel*Kernel*In,Out]. A
// warp has a fourth of a tile's results, and a thread of that 4 rows and 8 columns of dw.
// Launch: as thinConv's.
extern "C" __global__ void thinGrad(const Map* x, const Map* dy, float* dw, Shape s, int parts) {
    __shared__ float4 windowMemory[ThinPixels * ThinApart / 4], gradMemory[ThinPixels * ThinColumns / 4];
    __shared__ int taps[MostTaps];
    float *windows = (float*)windowMemory, *grads = (float*)gradMemory;
    Thin t(s, parts);
    putTaps(t, taps);
    int warp = threadIdx.x / 32, row = threadIdx.x % 32 / 4 * 4, column = threadIdx.x % 4 * 8, share = ThinPixels / (ThinThreads / 32);
    for (int i = threadIdx.x; i < ThinPixels * ThinApart; i += ThinThreads) windows[i] = 0; // rows beyond the last too
    Vec<8> sums[4];
    for (int i = 0; i < 4; i++) sums[i] = zero<8>();
    for (Size tile = t.from; tile < t.to; tile++) {
        int m0 = (int)tile * ThinPixels;
        __syncthreads(); // the taps are there, and the tile before is done
        putWindows(t, x, taps, m0, windows);
        for (int i = threadIdx.x; i < ThinPixels * ThinColumns / 4; i += ThinThreads) {
            int m = m0 + i / (ThinColumns / 4), n = t.n0 + i % (ThinColumns / 4) * 4;
            store<4>(grads + 4 * i, m < t.pixels && n < s.Out ? load<4>(dy + (Size)m * s.Out + n) : zero<4>());
        }
        __syncthreads();
#pragma unroll 4
        for (int p = warp * share; p < (warp + 1) * share; p++) {
            Vec<4> v = load<4>(windows + p * ThinApart + row);
            Vec<8> d = load<8>(grads + p * ThinColumns + column);
            for (int i = 0; i < 4; i++) {
                for (int c = 0; c < 8; c++) sums[i].v[c] += v.v[i] * d.v[c];
            }
        }
    }
    for (int w = 0; w < ThinThreads / 32; w++) { // the warps' sums, one after the other
        __syncthreads();
        for (int i = 0; i < 4 && w == warp; i++) {
            float* to = windows + (row + i) * ThinColumns + column;
            Vec<8> total = w > 0 ? load<8>(to) : zero<8>();
            for (int c = 0; c < 8; c++) total.v[c] += sums[i].v[c];
            store<8>(to, total);
        }
    }
    __syncthreads();
    for (int i = threadIdx.x; i < t.depth * ThinColumns; i += ThinThreads) {
        int n = t.n0 + i % ThinColumns;
        if (n < s.Out) dw[(t.part * t.depth + i / ThinColumns) * s.Out + n] = windows[i];
    }
}
