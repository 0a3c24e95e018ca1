// Depthwise convolutions with what is done to the maps around them, tile by tile.
//
// A tile is some images' rows and columns of results, in 64 bytes of channels, and what
// these meet: read once, made what the filter wants, and kept in shared memory. A block
// has neighbouring tiles of the same channels, one after the other. A thread has Few
// channels of a run of results; threadIdx.x is which channels, threadIdx.y the run.
// blockIdx.x is part, block of channels, the last fastest. Launch: Lanes threads (x) by as
// many as the tile's Units (y).

const int Few = 4;      // channels of a thread: with more, registers are too few
const int Lanes = Wide; // threads for the channels of a block

// Grid is how maps of H x W results are cut into tiles, and where a tile begins.
template <int Images, int Rows, int Columns>
struct Grid {
    int image, row, column;

    // count is how many tiles there are.
    static __device__ int count(int N, int H, int W) { return blocksOf(N, Images) * blocksOf(H, Rows) * blocksOf(W, Columns); }

    __device__ Grid(int H, int W, int tile) {
        int across = blocksOf(W, Columns), down = blocksOf(H, Rows);
        column = tile % across * Columns, row = tile / across % down * Rows, image = tile / across / down * Images;
    }
};

// Spots are the pixels of a tile in shared memory, Images x Down x Across, and the runs
// that rows of them are divided into.
template <int Images, int Down, int Across>
struct Spots {
    static constexpr int Pixels = Images * Down * Across;
    int image, row, column;

    __device__ explicit Spots(int i) : image(i / Across / Down), row(i / Across % Down), column(i % Across) {}
};

// Scaled is a normalisation as a product and a sum, z = x*scale + shift.
template <int V>
struct Scaled {
    Vec<V> scale, shift;

    __device__ float z(int i, float x) const { return x * scale.v[i] + shift.v[i]; }
};

template <int V>
__device__ inline Scaled<V> scaled(const Norm<V>& n) {
    Scaled<V> s;
    for (int i = 0; i < V; i++) {
        s.scale.v[i] = n.gamma.v[i] * n.inv.v[i];
        s.shift.v[i] = n.beta.v[i] - n.mean.v[i] * s.scale.v[i];
    }
    return s;
}

// normDepthwise: y is the convolution of act(z), as in NormAct, or of x if stats is null,
// and moments its parts' (see storeMoments), unless that is null. Run is how many
// neighbouring results of a row a thread computes at once.
template <int K, int S, int Images, int Rows, int Columns, int Run>
__device__ inline void normDepthwise(const Map* x, const float* stats, const float* gamma, const float* beta, const float* w, Map* y, float* moments,
                                     Shape s, int parts, float eps, int act, int vec) {
    using Tile = Grid<Images, Rows, Columns>;
    using Met = Spots<Images, (Rows - 1) * S + K, (Columns - 1) * S + K>;
    using Runs = Spots<Images, Rows, Columns / Run>;
    __shared__ uint4 met[Met::Pixels * 4];
    __shared__ float4 constants[(K * K + 3) * Lanes]; // the filter, scale, shift, pivot
    static_assert(sizeof met >= MomentValues<Few> * Lanes * Runs::Pixels * sizeof(float), "no room for moments");
    withWidth<Few>(vec, [=](auto width) {
        constexpr int V = decltype(width)::V, Next = Lanes * V; // values from pixel to pixel
        int over = blocksOf(s.In, Next), c = (blockIdx.x % over * Lanes + threadIdx.x) * V, tiles = Tile::count(s.N, s.OutH, s.OutW);
        Size part = blockIdx.x / over;
        bool some = c < s.In, first = true;
        Map* map = (Map*)met + threadIdx.x * V;
        float* filter = (float*)constants + threadIdx.x * V;
        float *scale = filter + K * K * Next, *shift = scale + Next, *pivot = shift + Next;
        if (some) {
            for (int k = threadIdx.y; k < K * K; k += blockDim.y) store<V>(filter + k * Next, load<V>(w + k * s.In + c));
            if (stats && threadIdx.y == 0) {
                Scaled<V> n = scaled(loadNorm<V>(stats, gamma, beta, s.In, c, eps));
                store<V>(scale, n.scale), store<V>(shift, n.shift);
            }
        }
        Runs run(threadIdx.y);
        run.column *= Run;
        Gathering<V> gathering = {0, zero<V>(), zero<V>()};
        for (int t = tiles * part / parts; t < tiles * (part + 1) / parts; t++) {
            Tile tile(s.OutH, s.OutW, t);
            __syncthreads(); // constants are there, and the tile before is done
            Scaled<V> n;
            if (stats) n = Scaled<V>{load<V>(scale), load<V>(shift)};
            for (int i = threadIdx.y; some && i < Met::Pixels; i += blockDim.y) {
                Met m(i);
                int image = tile.image + m.image, iy = tile.row * S - s.Top + m.row, ix = tile.column * S - s.Left + m.column;
                Vec<V> a = zero<V>();
                if (image < s.N && iy >= 0 && iy < s.H && ix >= 0 && ix < s.W) {
                    a = load<V>(x + pixel(image, iy, ix, s.H, s.W, s.In) + c);
                    if (stats) {
                        for (int k = 0; k < V; k++) a.v[k] = activate(act, n.z(k, a.v[k]));
                    }
                }
                store<V>(map + i * Next, a);
            }
            __syncthreads();
            Vec<V> sums[Run];
            for (int q = 0; q < Run; q++) sums[q] = zero<V>();
#pragma unroll 1
            for (int a = 0; a < K; a++) {
                const Map* line = map + ((run.image * ((Rows - 1) * S + K) + run.row * S + a) * ((Columns - 1) * S + K) + run.column * S) * Next;
                const float* taps = filter + a * K * Next;
                addRow<K, S, Run, false, V>([=](int k) { return load<V>(line + k * Next); }, [=](int k) { return load<V>(taps + k * Next); }, sums);
            }
            if (moments && first) { // the pivot is the block's first result
                if (threadIdx.y == 0) store<V>(pivot, sums[0]);
                __syncthreads();
                first = false;
            }
            int image = tile.image + run.image, i = tile.row + run.row, j = tile.column + run.column;
            if (!some || image >= s.N || i >= s.OutH) continue;
            Map* out = y + pixel(image, i, j, s.OutH, s.OutW, s.In) + c;
#pragma unroll
            for (int q = 0; q < Run; q++) {
                if (j + q >= s.OutW) break;
                store<V>(out + (Size)q * s.In, sums[q]);
                if (moments) gathering.add(sums[q], load<V>(pivot));
            }
        }
        if (!moments) return;
        __syncthreads();
        storeMoments<V>(gathering.moments(load<V>(pivot)), (float*)met, moments, part, parts, s.In, c);
    });
}

// GradNorm is what a normalisation and an activation send back, as sums of products:
// dx = scale*dz + slant*(x-mean) + level, with dz = dy*act'(z).
template <int V>
struct GradNorm {
    Scaled<V> n;
    Vec<V> mean, slant, level;

    __device__ float dx(int act, int i, float x, float dy) const {
        return n.scale.v[i] * dy * slope(act, n.z(i, x)) + (slant.v[i] * (x - mean.v[i]) + level.v[i]);
    }
};

// gradNorm is of rows of the batch, whose sums [2,C] are dbeta and dgamma.
template <int V>
__device__ inline GradNorm<V> gradNorm(const Norm<V>& norm, const float* sums, Size rows, int C, int c) {
    GradNorm<V> g = {scaled(norm), norm.mean};
    Vec<V> dbeta = load<V>(sums + c), dgamma = load<V>(sums + C + c);
    for (int i = 0; i < V; i++) {
        g.slant.v[i] = -g.n.scale.v[i] * norm.inv.v[i] * (dgamma.v[i] / rows);
        g.level.v[i] = -g.n.scale.v[i] * (dbeta.v[i] / rows);
    }
    return g;
}

// addTaps adds to the sums of a row of a filter what Columns neighbouring pixels of the
// input, in(j), and the results' gradients that they are in, out(o), contribute: by weight
// k pixel j meets result (j+K-1-k)/S where that is whole.
template <int K, int S, int Columns, int V, class In, class Out>
__device__ inline void addTaps(In in, Out out, Vec<V>* sums) {
    constexpr int Q = (K - 1) / S + 1;
    Vec<V> window[Q]; // result o is in window[o%Q]
#pragma unroll
    for (int o = 0; o + 1 < Q; o++) window[o] = out(o);
#pragma unroll
    for (int j = 0; j < Columns; j++) {
        if ((j + K - 1) % S == 0) window[(j + K - 1) / S % Q] = out((j + K - 1) / S);
        Vec<V> x = in(j);
#pragma unroll
        for (int k = 0; k < K; k++) {
            if ((j + K - 1 - k) % S == 0) multiplyAdd<V>(sums[k], x, window[(j + K - 1 - k) / S % Q]);
        }
    }
}

// depthwiseGrad is the whole of a DepthwiseGrad: dx, and the parts' dw [parts,K,K,C] and
// dsums [parts,2,C], of the sums of dz and dz*xhat; stats are null, and dsums not written,
// where x is read raw; gate and dpool are null where nothing gates.
//
// Tiles are of dx; at stride 2 one begins where a window does. What a tile meets are the
// gradients of the results, as they come from the normalisation.
template <int K, int S, int Images, int Rows, int Columns>
__device__ inline void depthwiseGrad(const Map* x, const float* stats, const float* gamma, const float* beta, const float* w,
                                     const Map* y, const float* outStats, const float* outGamma, const float* outBeta,
                                     const Map* dy, const float* sums, const float* gate, const float* dpool, Map* dx, float* dw, float* dsums,
                                     Shape s, int parts, float eps, int act, float outEps, int outAct, int vec) {
    constexpr int T = S == 1 ? 7 : 8, Down = Rows / S + (K - 1) / S, Across = Columns / S + (K - 1) / S;
    using Tile = Grid<Images, Rows, Columns>;
    using Met = Spots<Images, Down, Across>;
    using Own = Spots<Images, Rows, Columns>;
    using Runs = Spots<Images, Rows, Columns / T>;
    constexpr int Strips = Runs::Pixels / K; // of rows, that threads share for dw
    __shared__ uint4 pixels[(Met::Pixels + Own::Pixels) * 4];
    __shared__ float4 constants[(K * K + 9) * Lanes];
    static_assert(sizeof pixels >= Runs::Pixels * (K > 2 ? K : 2) * Few * Lanes * sizeof(float), "no room for sums");
    withWidth<Few>(vec, [=](auto width) {
        constexpr int V = decltype(width)::V, Next = Lanes * V;
        int beforeY = s.Top % S, beforeX = s.Left % S, H = s.H + beforeY, W = s.W + beforeX;
        int over = blocksOf(s.In, Next), c = (blockIdx.x % over * Lanes + threadIdx.x) * V, tiles = Tile::count(s.N, H, W);
        Size part = blockIdx.x / over, area = (Size)s.OutH * s.OutW;
        bool some = c < s.In;
        Map *grads = (Map*)pixels + threadIdx.x * V, *own = grads + Met::Pixels * Next;
        float* filter = (float*)constants + threadIdx.x * V;
        float* in = filter + K * K * Next;   // scale, shift, mean, inv of the input
        float* out = in + 4 * Next;          // scale, shift, mean, slant, level of the output
        if (some) {
            for (int k = threadIdx.y; k < K * K; k += blockDim.y) store<V>(filter + k * Next, load<V>(w + k * s.In + c));
            if (stats && threadIdx.y == 0) {
                Norm<V> norm = loadNorm<V>(stats, gamma, beta, s.In, c, eps);
                Scaled<V> n = scaled(norm);
                store<V>(in, n.scale), store<V>(in + Next, n.shift), store<V>(in + 2 * Next, norm.mean), store<V>(in + 3 * Next, norm.inv);
            }
            if (threadIdx.y == blockDim.y - 1) {
                GradNorm<V> g = gradNorm<V>(loadNorm<V>(outStats, outGamma, outBeta, s.In, c, outEps), sums, s.N * area, s.In, c);
                store<V>(out, g.n.scale), store<V>(out + Next, g.n.shift), store<V>(out + 2 * Next, g.mean);
                store<V>(out + 3 * Next, g.slant), store<V>(out + 4 * Next, g.level);
            }
        }
        Runs run(threadIdx.y);
        run.column *= T;
        int filterRow = threadIdx.y % K, strip = threadIdx.y / K;
        Vec<V> taps[K], dbeta = zero<V>(), dgamma = zero<V>();
        for (int k = 0; k < K; k++) taps[k] = zero<V>();
        for (int t = tiles * part / parts; t < tiles * (part + 1) / parts; t++) {
            Tile tile(H, W, t);
            int top = tile.row - beforeY, left = tile.column - beforeX; // of the input
            int outTop = (top + s.Top) / S - (K - 1) / S, outLeft = (left + s.Left) / S - (K - 1) / S;
            __syncthreads(); // constants are there, and the tile before is done
            if (some) {
                GradNorm<V> g = {{load<V>(out), load<V>(out + Next)}, load<V>(out + 2 * Next), load<V>(out + 3 * Next), load<V>(out + 4 * Next)};
                for (int i = threadIdx.y; i < Met::Pixels; i += blockDim.y) {
                    Met m(i);
                    int image = tile.image + m.image, oy = outTop + m.row, ox = outLeft + m.column;
                    Vec<V> d = zero<V>();
                    if (image < s.N && oy >= 0 && oy < s.OutH && ox >= 0 && ox < s.OutW) {
                        Size at = pixel(image, oy, ox, s.OutH, s.OutW, s.In) + c;
                        d = load<V>(dy + at);
                        Vec<V> a = load<V>(y + at);
                        if (gate) {
                            Vec<V> f = load<V>(gate + (Size)image * s.In + c), p = load<V>(dpool + (Size)image * s.In + c);
                            for (int k = 0; k < V; k++) d.v[k] = d.v[k] * f.v[k] + p.v[k] / area;
                        }
                        for (int k = 0; k < V; k++) d.v[k] = g.dx(outAct, k, a.v[k], d.v[k]);
                    }
                    store<V>(grads + i * Next, d);
                }
                Scaled<V> n;
                if (stats) n = Scaled<V>{load<V>(in), load<V>(in + Next)};
                for (int i = threadIdx.y; i < Own::Pixels; i += blockDim.y) {
                    Own m(i);
                    int image = tile.image + m.image, iy = top + m.row, ix = left + m.column;
                    Vec<V> a = zero<V>();
                    if (image < s.N && iy >= 0 && iy < s.H && ix >= 0 && ix < s.W) {
                        a = load<V>(x + pixel(image, iy, ix, s.H, s.W, s.In) + c);
                        if (stats) {
                            for (int k = 0; k < V; k++) a.v[k] = activate(act, n.z(k, a.v[k]));
                        }
                    }
                    store<V>(own + i * Next, a);
                }
            }
            __syncthreads();
            if (!some) continue;
            Vec<V> d[T];
            for (int q = 0; q < T; q++) d[q] = zero<V>();
#pragma unroll 1
            for (int a = (run.row + K - 1) % S; a < K; a += S) {
                const Map* line = grads + ((run.image * Down + (run.row + K - 1 - a) / S) * Across + run.column / S) * Next;
                const float* f = filter + a * K * Next;
                addRow<K, S, T, true, V>([=](int k) { return load<V>(line + k * Next); }, [=](int k) { return load<V>(f + k * Next); }, d);
            }
            int image = tile.image + run.image, i = top + run.row, j = left + run.column;
            if (image < s.N && i >= 0 && i < s.H) {
                Size at = pixel(image, i, j, s.H, s.W, s.In) + c;
#pragma unroll
                for (int q = 0; q < T; q++, at += s.In) {
                    if (j + q < 0 || j + q >= s.W) continue;
                    store<V>(dx + at, d[q]);
                    if (!stats) continue;
                    Vec<V> a = load<V>(x + at), mean = load<V>(in + 2 * Next), inv = load<V>(in + 3 * Next);
                    Scaled<V> n = {load<V>(in), load<V>(in + Next)};
                    for (int k = 0; k < V; k++) {
                        float dz = d[q].v[k] * slope(act, n.z(k, a.v[k]));
                        dbeta.v[k] += dz;
                        dgamma.v[k] += dz * ((a.v[k] - mean.v[k]) * inv.v[k]);
                    }
                }
            }
            for (int r = strip; strip < Strips && r < Images * Rows; r += Strips) {
                int row = r % Rows + K - 1 - filterRow;
                if (row % S != 0) continue;
                const Map *xs = own + r * Columns * Next, *line = grads + (r / Rows * Down + row / S) * Across * Next;
                addTaps<K, S, Columns, V>([=](int k) { return load<V>(xs + k * Next); }, [=](int k) { return load<V>(line + k * Next); }, taps);
            }
        }

        // The block's sums: each thread leaves its own, and few add them up in order.
        float* left = (float*)pixels + threadIdx.x * V;
        auto total = [&](int from, int step, int count, int of, int k) {
            Vec<V> sum = zero<V>();
            for (int i = 0; i < count; i++) {
                Vec<V> a = load<V>(left + ((from + i * step) * of + k) * Next);
                for (int q = 0; q < V; q++) sum.v[q] += a.v[q];
            }
            return sum;
        };
        __syncthreads();
        for (int k = 0; k < K; k++) store<V>(left + (threadIdx.y * K + k) * Next, taps[k]);
        __syncthreads();
        if (some && strip == 0) {
            for (int k = 0; k < K; k++) store<V>(dw + ((part * K + filterRow) * K + k) * s.In + c, total(filterRow, K, Strips, K, k));
        }
        if (!stats) return;
        __syncthreads();
        store<V>(left + threadIdx.y * 2 * Next, dbeta), store<V>(left + (threadIdx.y * 2 + 1) * Next, dgamma);
        __syncthreads();
        if (some && threadIdx.y < 2) store<V>(dsums + (part * 2 + threadIdx.y) * s.In + c, total(0, 1, blockDim.y, 2, threadIdx.y));
    });
}

extern "C" __global__ void normDepthwise3(const Map* x, const float* stats, const float* gamma, const float* beta, const float* w, Map* y, float* moments,
                                    Shape s, int parts, float eps, int act, int vec) {
    normDepthwise<3, 1, 1, 14, 14, 7>(x, stats, gamma, beta, w, y, moments, s, parts, eps, act, vec);
}

extern "C" __global__ void normDepthwise3Small(const Map* x, const float* stats, const float* gamma, const float* beta, const float* w, Map* y, float* moments,
                                    Shape s, int parts, float eps, int act, int vec) {
    normDepthwise<3, 1, 4, 7, 7, 7>(x, stats, gamma, beta, w, y, moments, s, parts, eps, act, vec);
}

extern "C" __global__ void normDepthwise3Stride2(const Map* x, const float* stats, const float* gamma, const float* beta, const float* w, Map* y, float* moments,
                                    Shape s, int parts, float eps, int act, int vec) {
    normDepthwise<3, 2, 1, 4, 14, 2>(x, stats, gamma, beta, w, y, moments, s, parts, eps, act, vec);
}

extern "C" __global__ void normDepthwise5(const Map* x, const float* stats, const float* gamma, const float* beta, const float* w, Map* y, float* moments,
                                    Shape s, int parts, float eps, int act, int vec) {
    normDepthwise<5, 1, 1, 14, 14, 7>(x, stats, gamma, beta, w, y, moments, s, parts, eps, act, vec);
}

extern "C" __global__ void normDepthwise5Small(const Map* x, const float* stats, const float* gamma, const float* beta, const float* w, Map* y, float* moments,
                                    Shape s, int parts, float eps, int act, int vec) {
    normDepthwise<5, 1, 4, 7, 7, 7>(x, stats, gamma, beta, w, y, moments, s, parts, eps, act, vec);
}

extern "C" __global__ void normDepthwise5Stride2(const Map* x, const float* stats, const float* gamma, const float* beta, const float* w, Map* y, float* moments,
                                    Shape s, int parts, float eps, int act, int vec) {
    normDepthwise<5, 2, 1, 4, 14, 2>(x, stats, gamma, beta, w, y, moments, s, parts, eps, act, vec);
}

extern "C" __global__ void depthwiseGrad3(const Map* x, const float* stats, const float* gamma, const float* beta, const float* w,
                              const Map* y, const float* outStats, const float* outGamma, const float* outBeta,
                              const Map* dy, const float* sums, const float* gate, const float* dpool, Map* dx, float* dw, float* dsums,
                              Shape s, int parts, float eps, int act, float outEps, int outAct, int vec) {
    depthwiseGrad<3, 1, 1, 14, 14>(x, stats, gamma, beta, w, y, outStats, outGamma, outBeta, dy, sums, gate, dpool, dx, dw, dsums,
                                      s, parts, eps, act, outEps, outAct, vec);
}

extern "C" __global__ void depthwiseGrad3Small(const Map* x, const float* stats, const float* gamma, const float* beta, const float* w,
                              const Map* y, const float* outStats, const float* outGamma, const float* outBeta,
                              const Map* dy, const float* sums, const float* gate, const float* dpool, Map* dx, float* dw, float* dsums,
                              Shape s, int parts, float eps, int act, float outEps, int outAct, int vec) {
    depthwiseGrad<3, 1, 4, 7, 7>(x, stats, gamma, beta, w, y, outStats, outGamma, outBeta, dy, sums, gate, dpool, dx, dw, dsums,
                                      s, parts, eps, act, outEps, outAct, vec);
}

extern "C" __global__ void depthwiseGrad3Stride2(const Map* x, const float* stats, const float* gamma, const float* beta, const float* w,
                              const Map* y, const float* outStats, const float* outGamma, const float* outBeta,
                              const Map* dy, const float* sums, const float* gate, const float* dpool, Map* dx, float* dw, float* dsums,
                              Shape s, int parts, float eps, int act, float outEps, int outAct, int vec) {
    depthwiseGrad<3, 2, 1, 16, 16>(x, stats, gamma, beta, w, y, outStats, outGamma, outBeta, dy, sums, gate, dpool, dx, dw, dsums,
                                      s, parts, eps, act, outEps, outAct, vec);
}

extern "C" __global__ void depthwiseGrad5(const Map* x, const float* stats, const float* gamma, const float* beta, const float* w,
                              const Map* y, const float* outStats, const float* outGamma, const float* outBeta,
                              const Map* dy, const float* sums, const float* gate, const float* dpool, Map* dx, float* dw, float* dsums,
                              Shape s, int parts, float eps, int act, float outEps, int outAct, int vec) {
    depthwiseGrad<5, 1, 1, 14, 14>(x, stats, gamma, beta, w, y, outStats, outGamma, outBeta, dy, sums, gate, dpool, dx, dw, dsums,
                                      s, parts, eps, act, outEps, outAct, vec);
}

extern "C" __global__ void depthwiseGrad5Small(const Map* x, const float* stats, const float* gamma, const float* beta, const float* w,
                              const Map* y, const float* outStats, const float* outGamma, const float* outBeta,
                              const Map* dy, const float* sums, const float* gate, const float* dpool, Map* dx, float* dw, float* dsums,
                              Shape s, int parts, float eps, int act, float outEps, int outAct, int vec) {
    depthwiseGrad<5, 1, 4, 7, 7>(x, stats, gamma, beta, w, y, outStats, outGamma, outBeta, dy, sums, gate, dpool, dx, dw, dsums,
                                      s, parts, eps, act, outEps, outAct, vec);
}

extern "C" __global__ void depthwiseGrad5Stride2(const Map* x, const float* stats, const float* gamma, const float* beta, const float* w,
                              const Map* y, const float* outStats, const float* outGamma, const float* outBeta,
                              const Map* dy, const float* sums, const float* gate, const float* dpool, Map* dx, float* dw, float* dsums,
                              Shape s, int parts, float eps, int act, float outEps, int outAct, int vec) {
    depthwiseGrad<5, 2, 1, 16, 16>(x, stats, gamma, beta, w, y, outStats, outGamma, outBeta, dy, sums, gate, dpool, dx, dw, dsums,
                                      s, parts, eps, act, outEps, outAct, vec);
}
