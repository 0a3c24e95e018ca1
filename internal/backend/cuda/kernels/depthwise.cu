// Depthwise convolutions: each channel has its own filter, w [K,K,C].
//
// A thread computes T neighbouring values of a row. With a row of the filter in
// registers it reads each pixel of a row that they meet once. K and S are filter and
// stride where they are known to the compiler; with K 0, any, the Shape has them and T
// is 1. T is 4 as far as registers go: by NVRTC 13.5 for sm_90 and bf16 maps, 5x5
// at stride 2 takes 142 with 4 and 80 with 2, and the others 96 to 114.

// pixel is the index of pixel (y,x) of image n of a map [N,H,W,C], channel 0.
__device__ inline Size pixel(Size n, int y, int x, int H, int W, int C) { return ((n * H + y) * W + x) * C; }

// Place is where a row of a map [N,H,W,...] lies.
struct Place {
    Size n;
    int y, x;
};

__device__ inline Place placeOf(Size row, int H, int W) {
    Place p;
    p.x = (int)(row % W);
    p.y = (int)(row / W % H);
    p.n = row / W / H;
    return p;
}

// output is the output row that meets input row y at tap a of a filter, or -1.
__device__ inline int output(int y, int a, int before, int stride, int count) {
    int t = y + before - a;
    if (t < 0 || t % stride != 0 || t / stride >= count) return -1;
    return t / stride;
}

// Spot is a thread's place in a launch of tiles: its first channel, the number of
// its run of T columns, and its row of all images' rows. A block is channels (x) by
// runs (y) by rows (z), so that what the rows of a filter read again is still in L1;
// blockIdx.x is block of rows, block of runs, block of channels, the last fastest.
struct Spot {
    int c, run;
    Size row;
};

// blocksOf is how many blocks of size cover n.
__device__ inline int blocksOf(int n, int size) { return (n + size - 1) / size; }

__device__ inline Spot spotOf(int C, int V, int runs) {
    int over = blocksOf(C, blockDim.x * V), across = blocksOf(runs, blockDim.y);
    Size tile = blockIdx.x / over;
    return Spot{(int)(blockIdx.x % over * blockDim.x + threadIdx.x) * V, (int)(tile % across * blockDim.y + threadIdx.y),
                tile / across * blockDim.z + threadIdx.z};
}

// at reads column x of a row of W columns, zero outside.
template <int V>
__device__ inline Vec<V> at(const Map* row, int x, int W, int C) {
    return x >= 0 && x < W ? load<V>(row + (Size)x * C) : zero<V>();
}

template <int V>
__device__ inline void multiplyAdd(Vec<V>& sum, const Vec<V>& a, const Vec<V>& b) {
    for (int i = 0; i < V; i++) sum.v[i] += a.v[i] * b.v[i];
}

// addRow adds to T sums what they take from a row of a map by a row of the filter: pixel(i)
// is the i-th pixel from the first that they meet, weight(k) the k-th weight. Sum t takes
// by weight k pixel t*S+k or, backward, (t+K-1-k)/S where that is whole.
template <int K, int S, int T, bool Backward, int V, class Pixel, class Weight>
__device__ inline void addRow(Pixel pixel, Weight weight, Vec<V>* sums) {
    constexpr int Pixels = Backward ? (T + K - 2) / S + 1 : (T - 1) * S + K;
    Vec<V> f[K];
#pragma unroll
    for (int k = 0; k < K; k++) f[k] = weight(k);
#pragma unroll
    for (int i = 0; i < Pixels; i++) {
        Vec<V> p = pixel(i);
#pragma unroll
        for (int k = 0; k < K; k++) {
#pragma unroll
            for (int t = 0; t < T; t++) {
                if (Backward ? i * S == t + K - 1 - k : i == t * S + k) multiplyAdd<V>(sums[t], p, f[k]);
            }
        }
    }
}

// filterMap: y = act(sum + bias[c]), sum over a, b of
// x[n, i*Stride-Top+a, j*Stride-Left+b, c]*w[a,b,c], without bias if that is null, and
// with the filter turned around if flip. Launch: tiles of y.
template <int K, int S, int T>
__device__ inline void filterMap(const Map* x, const float* w, const float* bias, Map* y, Shape s, int flip, int act, int vec) {
    withWidth(vec, [=](auto width) {
        constexpr int V = decltype(width)::V;
        int kernel = K ? K : s.Kernel, stride = K ? S : s.Stride;
        Spot p = spotOf(s.In, V, blocksOf(s.OutW, T));
        int j = p.run * T, left = j * stride - s.Left, top = (int)(p.row % s.OutH) * stride - s.Top;
        if (p.c >= s.In || j >= s.OutW || p.row >= (Size)s.N * s.OutH) return;
        Vec<V> sums[T];
        for (int t = 0; t < T; t++) sums[t] = bias ? load<V>(bias + p.c) : zero<V>();
        int step = flip ? -s.In : s.In;
        const float* filter = w + p.c + (flip ? kernel * kernel - 1 : 0) * s.In;
#pragma unroll 1
        for (int a = 0; a < kernel; a++, filter += kernel * step) {
            if (top + a < 0 || top + a >= s.H) continue;
            const Map* row = x + pixel(p.row / s.OutH, top + a, 0, s.H, s.W, s.In) + p.c;
            if constexpr (K > 0) {
                addRow<K, S, T, false, V>([=](int i) { return at<V>(row, left + i, s.W, s.In); }, [=](int k) { return load<V>(filter + k * step); }, sums);
            } else {
                for (int b = 0; b < kernel; b++) multiplyAdd<V>(sums[0], at<V>(row, left + b, s.W, s.In), load<V>(filter + b * step));
            }
        }
        Map* out = y + (p.row * s.OutW + j) * s.In + p.c;
#pragma unroll
        for (int t = 0; t < T; t++) {
            if (j + t >= s.OutW) break;
            for (int i = 0; i < V; i++) sums[t].v[i] = activate(act, sums[t].v[i]);
            store<V>(out + (Size)t * s.In, sums[t]);
        }
    });
}

extern "C" __global__ void depthwise3(const Map* x, const float* w, const float* bias, Map* y, Shape s, int flip, int act, int vec) {
    filterMap<3, 1, 4>(x, w, bias, y, s, flip, act, vec);
}

extern "C" __global__ void depthwise3Stride2(const Map* x, const float* w, const float* bias, Map* y, Shape s, int flip, int act, int vec) {
    filterMap<3, 2, 4>(x, w, bias, y, s, flip, act, vec);
}

extern "C" __global__ void depthwise5(const Map* x, const float* w, const float* bias, Map* y, Shape s, int flip, int act, int vec) {
    filterMap<5, 1, 4>(x, w, bias, y, s, flip, act, vec);
}

extern "C" __global__ void depthwise5Stride2(const Map* x, const float* w, const float* bias, Map* y, Shape s, int flip, int act, int vec) {
    filterMap<5, 2, 2>(x, w, bias, y, s, flip, act, vec);
}

extern "C" __global__ void depthwise(const Map* x, const float* w, const float* bias, Map* y, Shape s, int flip, int act, int vec) {
    filterMap<0, 0, 1>(x, w, bias, y, s, flip, act, vec);
}

// spreadMap is the gradient with respect to x at stride 2: dx = the sum of dy*w over
// the outputs that a pixel is in. A run begins where a window does, so its pixels' taps
// are known to the compiler; the first run's first column may be outside. (At stride
// 1 the gradient is filterMap of dy, with the filter turned around.) Launch: tiles of dx.
template <int K, int T>
__device__ inline void spreadMap(const Map* dy, const float* w, Map* dx, Shape s, int vec) {
    withWidth(vec, [=](auto width) {
        constexpr int V = decltype(width)::V;
        int before = s.Left % 2;
        Spot p = spotOf(s.In, V, blocksOf(s.W + before, T));
        int x = p.run * T - before, y = (int)(p.row % s.H) + s.Top;
        if (p.c >= s.In || x >= s.W || p.row >= (Size)s.N * s.H) return;
        Vec<V> sums[T];
        for (int t = 0; t < T; t++) sums[t] = zero<V>();
#pragma unroll 1
        for (int a = y % 2; a < K && a <= y; a += 2) {
            int i = (y - a) / 2;
            if (i >= s.OutH) continue;
            const Map* row = dy + pixel(p.row / s.H, i, 0, s.OutH, s.OutW, s.In) + p.c;
            int first = (x + s.Left - K + 1) / 2;
            const float* filter = w + a * K * s.In + p.c;
            addRow<K, 2, T, true, V>([=](int i) { return at<V>(row, first + i, s.OutW, s.In); }, [=](int k) { return load<V>(filter + k * s.In); }, sums);
        }
        Map* out = dx + p.row * s.W * s.In + p.c;
        for (int t = 0; t < T; t++) {
            if (x + t >= 0 && x + t < s.W) store<V>(out + (Size)(x + t) * s.In, sums[t]);
        }
    });
}

extern "C" __global__ void depthwiseGradInput3Stride2(const Map* dy, const float* w, Map* dx, Shape s, int vec) {
    spreadMap<3, 4>(dy, w, dx, s, vec);
}

extern "C" __global__ void depthwiseGradInput5Stride2(const Map* dy, const float* w, Map* dx, Shape s, int vec) {
    spreadMap<5, 4>(dy, w, dx, s, vec);
}

// depthwiseGradInput is the same for any filter and stride. Launch: channels by input
// pixels.
extern "C" __global__ void depthwiseGradInput(const Map* dy, const float* w, Map* dx, Shape s, int vec) {
    channels(vec, s.In, [=](int c, auto width) {
        constexpr int V = decltype(width)::V;
        Size rows = (Size)s.N * s.H * s.W;
        for (Size r = firstRow(); r < rows; r += rowStep()) {
            Place p = placeOf(r, s.H, s.W);
            Vec<V> sum = zero<V>();
            for (int a = 0; a < s.Kernel; a++) {
                int i = output(p.y, a, s.Top, s.Stride, s.OutH);
                if (i < 0) continue;
                for (int b = 0; b < s.Kernel; b++) {
                    int j = output(p.x, b, s.Left, s.Stride, s.OutW);
                    if (j < 0) continue;
                    multiplyAdd<V>(sum, load<V>(dy + pixel(p.n, i, j, s.OutH, s.OutW, s.In) + c), load<V>(w + (a * s.Kernel + b) * s.In + c));
                }
            }
            store<V>(dx + r * s.In + c, sum);
        }
    });
}

// depthwiseTaps: dw[a,b,c] = sum over the outputs of x*dy, as parts [parts,K*K,C] of
// equal numbers of rows. A thread has a row of the filter, or one weight with K 0. It
// goes along rows of dy, with the pixels that meet its weights in registers, pixel i
// of a row in window[i%Q]: 140 registers of 5x5 with bf16 maps, 100 of 3x3. A block is
// channels (x) by rows of the filter (y), which read the same of dy, by rows of dy (z);
// blockIdx.x is part, block of channels, the last fastest, and blockIdx.y with K 0 the
// weight.
template <int K, int S>
__device__ inline void depthwiseTaps(const Map* x, const Map* dy, float* out, Shape s, int parts, int vec) {
    constexpr int Q = K ? K : 1;
    int kernel = K ? K : s.Kernel, stride = K ? S : s.Stride, tap = (blockIdx.y * blockDim.y + threadIdx.y) * Q;
    withWidth(vec, [=](auto width) {
        constexpr int V = decltype(width)::V;
        int over = blocksOf(s.In, blockDim.x * V), c = (blockIdx.x % over * blockDim.x + threadIdx.x) * V;
        Size part = blockIdx.x / over, rows = (Size)s.N * s.OutH, to = rows * (part + 1) / parts;
        Vec<V> sums[Q];
        for (int q = 0; q < Q; q++) sums[q] = zero<V>();
        for (Size r = rows * part / parts + threadIdx.z; c < s.In && r < to; r += blockDim.z) {
            int iy = (int)(r % s.OutH) * stride - s.Top + tap / kernel, left = tap % kernel - s.Left;
            if (iy < 0 || iy >= s.H) continue;
            const Map* row = x + pixel(r / s.OutH, iy, 0, s.H, s.W, s.In) + c;
            const Map* d = dy + r * s.OutW * s.In + c;
            Vec<V> window[Q];
            for (int q = 0; q + S < Q; q++) window[q] = at<V>(row, left + q, s.W, s.In);
            for (int j = 0; j < s.OutW; j += Q) {
#pragma unroll
                for (int u = 0; u < Q; u++) { // Q steps later window is where it was
                    int first = left + (j + u) * stride;
#pragma unroll
                    for (int q = Q > S ? Q - S : 0; q < Q; q++) window[(u * S + q) % Q] = at<V>(row, first + q, s.W, s.In);
                    Vec<V> g = at<V>(d, j + u, s.OutW, s.In);
#pragma unroll
                    for (int q = 0; q < Q; q++) multiplyAdd<V>(sums[q], window[(u * S + q) % Q], g);
                }
            }
        }
        columnTotals<V, Q>(sums, threadIdx.z, blockDim.z);
        if (threadIdx.z > 0 || c >= s.In) return;
        for (int q = 0; q < Q; q++) store<V>(out + (part * kernel * kernel + tap + q) * s.In + c, sums[q]);
    });
}

extern "C" __global__ void depthwiseGradWeight3(const Map* x, const Map* dy, float* out, Shape s, int parts, int vec) {
    depthwiseTaps<3, 1>(x, dy, out, s, parts, vec);
}

extern "C" __global__ void depthwiseGradWeight3Stride2(const Map* x, const Map* dy, float* out, Shape s, int parts, int vec) {
    depthwiseTaps<3, 2>(x, dy, out, s, parts, vec);
}

extern "C" __global__ void depthwiseGradWeight5(const Map* x, const Map* dy, float* out, Shape s, int parts, int vec) {
    depthwiseTaps<5, 1>(x, dy, out, s, parts, vec);
}

extern "C" __global__ void depthwiseGradWeight5Stride2(const Map* x, const Map* dy, float* out, Shape s, int parts, int vec) {
    depthwiseTaps<5, 2>(x, dy, out, s, parts, vec);
}

extern "C" __global__ void depthwiseGradWeight(const Map* x, const Map* dy, float* out, Shape s, int parts, int vec) {
    depthwiseTaps<0, 1>(x, dy, out, s, parts, vec);
}
