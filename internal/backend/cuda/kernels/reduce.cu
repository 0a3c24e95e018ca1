// Sums over rows: of a map's channels, of an image's, and what else has their
// form.
//
// x is S segments of L rows of C channels; a segment's rows are cut into parts
// of equal length. Launch: blocks of channels (x) by rows (y); blockIdx.x is
// segment*parts + part, blockIdx.y the block of channels. A thread adds every
// blockDim.y-th row of its part, then the block adds its threads. Out is
// [parts,Q,S,C]; with several parts a second launch, of sumRows, adds them.

// reduce sums Q values of a row: f(c, width) gives a function that adds row r's
// to its second argument. before is how many blocks of channels are of something else.
template <int Q, class F>
__device__ inline void reduce(int vec, int S, Size L, int parts, int C, float scale, float* out, F f, int before = 0) {
    Size segment = blockIdx.x / parts, part = blockIdx.x % parts;
    Size from = segment * L + L * part / parts, to = segment * L + L * (part + 1) / parts;
    int c = ((blockIdx.y - before) * blockDim.x + threadIdx.x) * vec;
    auto run = [&](auto width) {
        constexpr int V = decltype(width)::V;
        Vec<V> sums[Q];
        for (int q = 0; q < Q; q++) sums[q] = zero<V>();
        if (c < C) {
            auto add = f(c, width);
            for (Size r = from + threadIdx.y; r < to; r += blockDim.y) add(r, sums);
        }
        columnTotals<V, Q>(sums, threadIdx.y, blockDim.y);
        if (threadIdx.y > 0 || c >= C) return;
        for (int q = 0; q < Q; q++) {
            for (int i = 0; i < V; i++) sums[q].v[i] *= scale;
            store<V>(out + ((part * Q + q) * S + segment) * C + c, sums[q]);
        }
    };
    withWidth(vec, run);
}

// AddRows is what a thread of reduce does to sum rows of x.
template <class T>
struct AddRows {
    const T* x;
    int C;

    template <class W>
    __device__ auto operator()(int c, W) const {
        const T* from = x + c;
        Size apart = C;
        return [=](Size r, Vec<W::V>* sums) {
            Vec<W::V> a = load<W::V>(from + r * apart);
            for (int i = 0; i < W::V; i++) sums[0].v[i] += a.v[i];
        };
    }
};

// sumRows: out[s,c] = scale * sum of x[s,l,c].
extern "C" __global__ void sumRows(const Map* x, float* out, int S, Size L, int parts, int C, float scale, int vec) {
    reduce<1>(vec, S, L, parts, C, scale, out, AddRows<Map>{x, C});
}

// sumBoth: the sums of a [L,CA] and of b [L,CB], what the blocks of one launch left behind.
// Launch: as reduce's, of one segment in one part, with blocks for a's channels and then for
// b's.
extern "C" __global__ void sumBoth(const float* a, const float* b, float* sumA, float* sumB, Size L, int CA, int CB, int blocksOfA, int vec) {
    if ((int)blockIdx.y < blocksOfA) {
        reduce<1>(vec, 1, L, 1, CA, 1, sumA, AddRows<float>{a, CA});
    } else {
        reduce<1>(vec, 1, L, 1, CB, 1, sumB, AddRows<float>{b, CB}, blocksOfA);
    }
}

// sumProducts: out[s,c] = sum of x[s,l,c]*y[s,l,c].
extern "C" __global__ void sumProducts(const Map* x, const Map* y, float* out, int S, Size L, int parts, int C, float scale, int vec) {
    reduce<1>(vec, S, L, parts, C, scale, out, [=](int c, auto width) {
        constexpr int V = decltype(width)::V;
        return [=](Size r, Vec<V>* sums) {
            Vec<V> a = load<V>(x + r * C + c), b = load<V>(y + r * C + c);
            for (int i = 0; i < V; i++) sums[0].v[i] += a.v[i] * b.v[i];
        };
    });
}

// sumNormAct: out[s,c] = scale * sum of act(z), as in NormAct.
extern "C" __global__ void sumNormAct(const Map* x, const float* stats, const float* gamma, const float* beta, float* out,
                                      int S, Size L, int parts, int C, float scale, float eps, int act, int vec) {
    reduce<1>(vec, S, L, parts, C, scale, out, [=](int c, auto width) {
        constexpr int V = decltype(width)::V;
        Norm<V> n = loadNorm<V>(stats, gamma, beta, C, c, eps);
        return [=](Size r, Vec<V>* sums) {
            Vec<V> a = load<V>(x + r * C + c);
            for (int i = 0; i < V; i++) sums[0].v[i] += activate(act, n.z(i, a.v[i]));
        };
    });
}

// normActGradSums: out[0,c] = sum of dz, out[1,c] = sum of dz*xhat, with
// dz = dy*act'(z).
extern "C" __global__ void normActGradSums(const Map* x, const float* stats, const float* gamma, const float* beta, const Map* dy, float* out,
                                           int S, Size L, int parts, int C, float scale, float eps, int act, int vec) {
    reduce<2>(vec, S, L, parts, C, scale, out, [=](int c, auto width) {
        constexpr int V = decltype(width)::V;
        Norm<V> n = loadNorm<V>(stats, gamma, beta, C, c, eps);
        return [=](Size r, Vec<V>* sums) {
            Vec<V> a = load<V>(x + r * C + c), d = load<V>(dy + r * C + c);
            for (int i = 0; i < V; i++) {
                float dz = d.v[i] * slope(act, n.z(i, a.v[i]));
                sums[0].v[i] += dz;
                sums[1].v[i] += dz * n.xhat(i, a.v[i]);
            }
        };
    });
}

// gateGrads: out [5,S,C], sums over an image's pixels of
// a*da, da*act'(z), act'(z), da*act'(z)*xhat, act'(z)*xhat, with a = act(z).
extern "C" __global__ void gateGrads(const Map* x, const float* stats, const float* gamma, const float* beta, const Map* da, float* out,
                                     int S, Size L, int parts, int C, float scale, float eps, int act, int vec) {
    reduce<5>(vec, S, L, parts, C, scale, out, [=](int c, auto width) {
        constexpr int V = decltype(width)::V;
        Norm<V> n = loadNorm<V>(stats, gamma, beta, C, c, eps);
        return [=](Size r, Vec<V>* sums) {
            Vec<V> a = load<V>(x + r * C + c), d = load<V>(da + r * C + c);
            for (int i = 0; i < V; i++) {
                float xhat = n.xhat(i, a.v[i]), z = n.z(i, a.v[i]), s = slope(act, z);
                sums[0].v[i] += activate(act, z) * d.v[i];
                sums[1].v[i] += d.v[i] * s;
                sums[2].v[i] += s;
                sums[3].v[i] += d.v[i] * s * xhat;
                sums[4].v[i] += s * xhat;
            }
        };
    });
}

// gatedGradSums: with rows of one image each, g = gate and d = dpool/area,
// out[0,c] = sum of g*parts[1] + d*parts[2], out[1,c] = sum of g*parts[3] + d*parts[4].
extern "C" __global__ void gatedGradSums(const float* grads, const float* gate, const float* dpool, float* out,
                                         int S, Size L, int parts, int C, float scale, float area, int vec) {
    reduce<2>(vec, S, L, parts, C, scale, out, [=](int c, auto width) {
        constexpr int V = decltype(width)::V;
        return [=](Size r, Vec<V>* sums) {
            Size at = r * C + c;
            Vec<V> g = load<V>(gate + at), d = load<V>(dpool + at);
            Vec<V> p1 = load<V>(grads + L * C + at), p2 = load<V>(grads + 2 * L * C + at);
            Vec<V> p3 = load<V>(grads + 3 * L * C + at), p4 = load<V>(grads + 4 * L * C + at);
            for (int i = 0; i < V; i++) {
                float spread = d.v[i] / area;
                sums[0].v[i] += g.v[i] * p1.v[i] + spread * p2.v[i];
                sums[1].v[i] += g.v[i] * p3.v[i] + spread * p4.v[i];
            }
        };
    });
}

// Moments are those of count values: their mean and the sum of the squared
// differences from it.
template <int V>
struct Moments {
    float count;
    Vec<V> mean, squares;
};

// join combines two by Chan, Golub & LeVeque's formula (1983).
template <int V>
__device__ inline void join(Moments<V>& a, const Moments<V>& b) {
    float n = a.count + b.count;
    if (b.count == 0) return;
    float share = b.count / n, both = a.count * share;
    for (int i = 0; i < V; i++) {
        float d = b.mean.v[i] - a.mean.v[i];
        a.mean.v[i] += d * share;
        a.squares.v[i] += b.squares.v[i] + d * d * both;
    }
    a.count = n;
}

// MomentValues are how many values of scratch a thread needs for joinColumns.
template <int V>
constexpr int MomentValues = 2 * V + 1;

// joinColumns joins the moments of a block's threads over threadIdx.y, by a tree, in
// scratch of MomentValues values a thread. The result is right in the threads of row 0.
template <int V>
__device__ inline void joinColumns(Moments<V>& m, float* scratch) {
    int at = threadIdx.y * blockDim.x + threadIdx.x, threads = blockDim.x * blockDim.y;
    auto put = [&] {
        scratch[at] = m.count;
        for (int i = 0; i < V; i++) scratch[(1 + i) * threads + at] = m.mean.v[i], scratch[(1 + V + i) * threads + at] = m.squares.v[i];
    };
    put();
    __syncthreads();
    for (int n = blockDim.y; n > 1;) {
        int half = (n + 1) / 2;
        if ((int)threadIdx.y + half < n) {
            Moments<V> b;
            int other = at + half * blockDim.x;
            b.count = scratch[other];
            for (int i = 0; i < V; i++) b.mean.v[i] = scratch[(1 + i) * threads + other], b.squares.v[i] = scratch[(1 + V + i) * threads + other];
            join(m, b);
            put();
        }
        __syncthreads();
        n = half;
    }
}

// Gathering are the moments of values that come one by one: a thread sums their
// differences from a pivot and the differences' squares, which loses no digits as long as
// the values are near it.
template <int V>
struct Gathering {
    float count;
    Vec<V> sum, squares;

    __device__ void add(const Vec<V>& x, const Vec<V>& pivot) {
        for (int i = 0; i < V; i++) {
            float d = x.v[i] - pivot.v[i];
            sum.v[i] += d;
            squares.v[i] += d * d;
        }
        count += 1;
    }

    __device__ Moments<V> moments(const Vec<V>& pivot) const {
        Moments<V> m = {count, zero<V>(), zero<V>()};
        if (count == 0) return m;
        for (int i = 0; i < V; i++) {
            float d = sum.v[i] / count, left = squares.v[i] - d * sum.v[i];
            m.mean.v[i] = pivot.v[i] + d;
            m.squares.v[i] = left < 0 ? 0 : left; // by rounding
        }
        return m;
    }
};

// storeMoments joins the moments that a block's threads have of channels c..., over
// threadIdx.y, and writes them as one of several parts: means and sums of squares to
// out [parts,2,C], and how many values a channel has behind all of them, [parts].
template <int V>
__device__ inline void storeMoments(Moments<V> m, float* scratch, float* out, Size part, int parts, int C, int c) {
    joinColumns<V>(m, scratch);
    if (threadIdx.y > 0 || c >= C) return;
    store<V>(out + part * 2 * C + c, m.mean);
    store<V>(out + part * 2 * C + C + c, m.squares);
    if (c == 0) out[(Size)parts * 2 * C + part] = m.count;
}

// batchMoments: the moments of each part of x's rows. Launch: as reduce's, of one segment.
extern "C" __global__ void batchMoments(const Map* x, float* out, Size rows, int parts, int C, int vec) {
    __shared__ float scratch[MomentValues<Wide> * MaxThreads];
    Size part = blockIdx.x, from = rows * part / parts, to = rows * (part + 1) / parts;
    int c = (blockIdx.y * blockDim.x + threadIdx.x) * vec;
    withWidth(vec, [=](auto width) {
        constexpr int V = decltype(width)::V;
        Gathering<V> g = {0, zero<V>(), zero<V>()};
        Size first = from + threadIdx.y;
        Vec<V> pivot = c < C && first < to ? load<V>(x + first * C + c) : zero<V>();
        for (Size r = first; c < C && r < to; r += blockDim.y) g.add(load<V>(x + r * C + c), pivot);
        storeMoments<V>(g.moments(pivot), scratch, out, part, parts, C, c);
    });
}

// joinMoments: stats [2,C], means and variances, of parts as storeMoments wrote them.
// Launch: blocks of channels (x) by parts (y), one for each block of channels.
extern "C" __global__ void joinMoments(const float* moments, float* stats, int parts, int C, int vec) {
    __shared__ float scratch[MomentValues<4> * MaxThreads];
    int c = (blockIdx.y * blockDim.x + threadIdx.x) * vec;
    withWidth<4>(vec, [=](auto width) {
        constexpr int V = decltype(width)::V;
        Moments<V> m = {0, zero<V>(), zero<V>()};
#pragma unroll 4
        for (int p = threadIdx.y; p < parts; p += blockDim.y) {
            if (c >= C) break;
            const float* part = moments + (Size)p * 2 * C + c;
            join(m, Moments<V>{moments[(Size)parts * 2 * C + p], load<V>(part), load<V>(part + C)});
        }
        joinColumns<V>(m, scratch);
        if (threadIdx.y > 0 || c >= C) return;
        for (int i = 0; i < V; i++) m.squares.v[i] /= m.count;
        store<V>(stats + c, m.mean);
        store<V>(stats + C + c, m.squares);
    });
}
