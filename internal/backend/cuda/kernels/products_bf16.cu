// Products of bf16 maps by tensor cores, with what is done to the maps around them. Only
// compiled where maps are bf16.
//
// A block has some rows of a map at a time, and goes through more of them one after the
// other. A warp has 16 rows and some columns of a product, as fragments of 16x8.

typedef unsigned Pair; // two bf16, the first in the lower half

const int ProductThreads = 128; // of a block: so that several are on a multiprocessor, at different places of their work
const int BM = 64;           // rows of a block's tile
const int BN = 64; // and its columns
const int BK = 32; // of the inner dimension at once
const int Inner = BK / 2; // pairs of it
const int Apart = Inner + 4; // pairs from row to row in shared memory: no two rows of a fragment in the same banks

// multiplyAdd16 adds a 16x16 by 16x8 product to d, as mma.m16n8k16 has its fragments: with
// g = lane/4 and q = lane%4, a is rows g and g+8 of pairs q, then of pairs q+4, b is
// pairs q and q+4 of column g, d is columns 2q and 2q+1 of row g, then of row g+8.
__device__ inline void multiplyAdd16(float* d, const Pair* a, const Pair* b) {
#ifdef __CUDA_ARCH__
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
    emulateMultiplyAdd16(d, a, b);
#endif
}

// Lane is a thread's place in its warp and block, whatever the block's dimensions.
struct Lane {
    int thread, warp, g, q;

    __device__ Lane() {
        thread = threadIdx.y * blockDim.x + threadIdx.x;
        warp = thread / 32, g = thread % 32 / 4, q = thread % 4;
    }
};

// multiplyTile adds to a warp's Fragments the product of its rows of a [BM,Apart] and all
// columns b [Fragments*8,Apart], both with the inner dimension as pairs.
template <int Fragments>
__device__ inline void multiplyTile(const Lane& lane, const Pair* a, const Pair* b, float (*sums)[4]) {
#pragma unroll 1
    for (int k = 0; k < Inner; k += 8) {
        const Pair* row = a + (lane.warp * 16 + lane.g) * Apart + k + lane.q;
        Pair left[4] = {row[0], row[8 * Apart], row[4], row[8 * Apart + 4]};
#pragma unroll
        for (int f = 0; f < Fragments; f++) {
            const Pair* column = b + (f * 8 + lane.g) * Apart + k + lane.q;
            Pair right[2] = {column[0], column[4]};
            multiplyAdd16(sums[f], left, right);
        }
    }
}

__device__ inline float value(const float* p) { return *p; }
__device__ inline float value(const bf16* p) { return widen(p->bits); }

// mapMatMul: y [M,N] = f(x)·w, where f is act(z), as in NormAct, and then times the image's
// gate [M/area,K]; stats or gate are null for none. With a bias, of weights that were folded,
// y is outAct(that + bias), plus a shortcut unless that is null. moments are the parts' (see
// storeMoments), unless null. K and N are multiples of 8. blockIdx.x is part, block of
// columns, the last fastest. Launch: BN/2 threads (x) by 2*ProductThreads/BN (y).
template <class Weight>
__device__ inline void mapMatMul(const Map* x, const float* stats, const float* gamma, const float* beta, const float* gate, const Weight* w,
                                 const float* bias, const Map* shortcut, Map* y, float* moments,
                                 Size M, int N, int K, int area, int parts, float eps, int act, int outAct) {
    constexpr int Fragments = BN / 8, Vectors = BM * BK / 8 / ProductThreads, Weights = BN * Inner / ProductThreads, Out = BN / 2 + 4;
    __shared__ uint4 memory[(BM + BN) * Apart / 4 > BM * Out / 4 ? (BM + BN) * Apart / 4 : BM * Out / 4];
    __shared__ float constants[2][2][BK]; // scale and shift of a step's channels, of this step and the next
    static_assert(sizeof memory >= MomentValues<2> * ProductThreads * sizeof(float), "no room for moments");
    Pair *a = (Pair*)memory, *b = a + BM * Apart, *result = (Pair*)memory;
    Lane lane;
    int over = blocksOf(N, BN), n0 = blockIdx.x % over * BN;
    Size part = blockIdx.x / over, tiles = (M + BM - 1) / BM;
    Gathering<2> gathering = {0, zero<2>(), zero<2>()};
    Vec<2> pivot = zero<2>();
    for (Size tile = tiles * part / parts; tile < tiles * (part + 1) / parts; tile++) {
        Size m0 = tile * BM;
        uint4 values[Vectors];
        auto fetch = [&](int k0) { // what the step from k0 on needs of the map, while the one before multiplies
#pragma unroll
            for (int i = 0; i < Vectors; i++) {
                int at = lane.thread + i * ProductThreads;
                Size m = m0 + at / (BK / 8);
                int k = k0 + at % (BK / 8) * 8;
                values[i] = m < M && k < K ? *(const uint4*)(x + m * K + k) : make_uint4(0, 0, 0, 0);
            }
            if (stats && lane.thread < BK && k0 + lane.thread < K) {
                Scaled<1> n = scaled(loadNorm<1>(stats, gamma, beta, K, k0 + lane.thread, eps));
                float(*to)[BK] = constants[k0 / BK % 2];
                to[0][lane.thread] = n.scale.v[0], to[1][lane.thread] = n.shift.v[0];
            }
        };
        auto put = [&](int k0) { // as the product takes it
#pragma unroll
            for (int i = 0; i < Vectors; i++) {
                int at = lane.thread + i * ProductThreads;
                *(uint4*)(a + at / (BK / 8) * Apart + at % (BK / 8) * 4) = values[i];
            }
#pragma unroll 1
            for (int p = 0; (stats || gate) && p < Vectors * 4; p++) { // a thread's own pairs, one by one: at once they take too many registers
                int at = lane.thread + p / 4 * ProductThreads, k = at % (BK / 8) * 8 + p % 4 * 2;
                Size m = m0 + at / (BK / 8);
                if (m >= M || k0 + k >= K) continue;
                Pair* pair = a + at / (BK / 8) * Apart + k / 2;
                float first = widen(*pair & 0xffff), second = widen(*pair >> 16);
                if (stats) {
                    const float *scale = constants[k0 / BK % 2][0] + k, *shift = constants[k0 / BK % 2][1] + k;
                    first = activate(act, first * scale[0] + shift[0]), second = activate(act, second * scale[1] + shift[1]);
                }
                if (gate) {
                    const float* by = gate + (Size)((int)m / area) * K + k0 + k;
                    first *= by[0], second *= by[1];
                }
                *pair = narrow(first, second);
            }
#pragma unroll
            for (int i = 0; i < Weights; i++) {
                int at = lane.thread + i * ProductThreads, n = n0 + at % BN, k = k0 + at / BN * 2;
                bool inside = n < N && k < K;
                float first = inside ? value(w + (k * N + n)) : 0, second = inside ? value(w + (k * N + n + N)) : 0;
                b[at % BN * Apart + at / BN] = narrow(first, second);
            }
        };
        float sums[Fragments][4];
        for (int f = 0; f < Fragments; f++) sums[f][0] = sums[f][1] = sums[f][2] = sums[f][3] = 0;
        fetch(0);
        for (int k0 = 0; k0 < K; k0 += BK) {
            __syncthreads(); // the constants are there, and what was before is done
            put(k0);
            __syncthreads();
            if (k0 + BK < K) fetch(k0 + BK);
            multiplyTile<Fragments>(lane, a, b, sums);
        }
        __syncthreads();
#pragma unroll
        for (int f = 0; f < Fragments; f++) {
            Pair* to = result + (lane.warp * 16 + lane.g) * Out + f * 4 + lane.q;
            int n = n0 + f * 8 + 2 * lane.q;
            if (bias && n < N) {
#pragma unroll
                for (int i = 0; i < 4; i++) sums[f][i] = activate(outAct, sums[f][i] + bias[n + i % 2]);
                for (int h = 0; h < 2; h++) {
                    Size m = m0 + lane.warp * 16 + lane.g + 8 * h;
                    if (!shortcut || m >= M) continue;
                    Pair p = *(const Pair*)(shortcut + m * N + n);
                    sums[f][2 * h] += widen(p & 0xffff), sums[f][2 * h + 1] += widen(p >> 16);
                }
            }
            to[0] = narrow(sums[f][0], sums[f][1]), to[8 * Out] = narrow(sums[f][2], sums[f][3]);
        }
        __syncthreads();
#pragma unroll 1
        for (int at = lane.thread; at < BM * BN / 8; at += ProductThreads) {
            int row = at / (BN / 8), column = at % (BN / 8) * 8;
            if (m0 + row < M && n0 + column < N) *(uint4*)(y + (m0 + row) * N + n0 + column) = *(uint4*)(result + row * Out + column / 2);
        }
        if (!moments) continue;
        for (int row = threadIdx.y; row < BM && m0 + row < M; row += blockDim.y) {
            Pair p = result[row * Out + threadIdx.x];
            Vec<2> v = {{widen(p & 0xffff), widen(p >> 16)}};
            if (gathering.count == 0) pivot = v;
            gathering.add(v, pivot);
        }
    }
    if (!moments) return;
    __syncthreads();
    storeMoments<2>(gathering.moments(pivot), (float*)memory, moments, part, parts, N, n0 + 2 * threadIdx.x);
}

extern "C" __global__ void normMatMul(const Map* x, const float* stats, const float* gamma, const float* beta, const float* gate, const float* w, Map* y, float* moments,
                                      Size M, int N, int K, int area, int parts, float eps, int act) {
    mapMatMul(x, stats, gamma, beta, gate, w, nullptr, nullptr, y, moments, M, N, K, area, parts, eps, act, Identity);
}

extern "C" __global__ void foldedMatMul(const Map* x, const float* gate, const Map* w, const float* bias, const Map* shortcut, Map* y,
                                        Size M, int N, int K, int area, int parts, int act) {
    mapMatMul(x, nullptr, nullptr, nullptr, gate, w, bias, shortcut, y, nullptr, M, N, K, area, parts, 0, Identity, act);
}

// putPairs writes 8 channels of two neighbouring rows, where channels follow each other
// apart pairs from to on and a pair is two rows.
__device__ inline void putPairs(Pair* to, int apart, uint4 first, uint4 second) {
    Pair upper[4] = {first.x, first.y, first.z, first.w}, lower[4] = {second.x, second.y, second.z, second.w};
#pragma unroll
    for (int p = 0; p < 4; p++) {
        to[2 * p * apart] = (upper[p] & 0xffff) | lower[p] << 16;
        to[(2 * p + 1) * apart] = upper[p] >> 16 | (lower[p] & 0xffff0000u);
    }
}

const int GradRows = 32;             // rows of a tile of projectGrad
const int GradColumns = 32;          // channels of a block
const int GradApart = GradRows / 2 + 4; // pairs of rows from channel to channel

// at is value i of pairs.
__device__ inline unsigned at(const Pair* pairs, int i) { return ((const unsigned short*)pairs)[i]; }

// FiveSums are gateGrads' sums of some rows of a channel. Without a gate only the second and
// the fourth are made.
struct FiveSums {
    float v[5];
};

// projectGrad is a ProjectGrad: da [M,K] = dy·w', of w [K,N], and the parts' dw [parts,K,N]
// = a'·dy, where a is act(z), as in NormAct, of x, times the image's gate [M/area,K]. With
// a gate, sums [5,M/area,K] are gateGrads'; without, where it is null, [parts,2,K] are the
// parts' of normActGradSums. K and N are multiples of 8, and N at most Most.
//
// A block has GradColumns channels of K, whose weights it keeps, and goes through images,
// or rows, by tiles: it makes da, what that and x sum to, and a, and has dw in registers
// until its end. dy is kept with rows as pairs: so both products can read it. blockIdx.x
// is part, block of channels, the last fastest. Launch: ProductThreads threads.
template <int Most>
__device__ inline void projectGrad(const Map* x, const float* stats, const float* gamma, const float* beta, const float* gate, const float* w, const Map* dy,
                                   Map* da, float* dw, float* sums, Size M, int N, int K, int area, int parts, float eps, int act) {
    constexpr int Wide = Most / 2 + 4, Columns = Most / 16; // pairs of a row of w; fragments of a warp's half of dw
    __shared__ uint4 memory[(GradColumns * Wide + (Most + GradColumns) * GradApart) / 4];
    __shared__ float constants[4][GradColumns]; // scale, shift, mean and inv
    Pair *weights = (Pair*)memory, *grads = weights + GradColumns * Wide, *seen = grads + Most * GradApart;
    FiveSums(*totals)[GradColumns] = (FiveSums(*)[GradColumns])seen; // of both row groups, between segments
    static_assert(2 * sizeof(FiveSums) <= GradApart * sizeof(Pair), "no room for sums");
    Lane lane;
    int over = blocksOf(K, GradColumns), k0 = blockIdx.x % over * GradColumns, rowGroup = lane.warp % 2, half = lane.warp / 2;
    Size part = blockIdx.x / over;
    for (int i = lane.thread; i < GradColumns * Most / 2; i += ProductThreads) {
        int k = k0 + i / (Most / 2), n = i % (Most / 2) * 2;
        bool inside = k < K && n < N;
        const float* from = w + (Size)k * N + n;
        weights[i / (Most / 2) * Wide + n / 2] = inside ? narrow(from[0], from[1]) : 0;
    }
    for (int i = lane.thread; i < Most * GradApart; i += ProductThreads) grads[i] = 0;
    if (lane.thread < GradColumns && k0 + lane.thread < K) {
        Norm<1> norm = loadNorm<1>(stats, gamma, beta, K, k0 + lane.thread, eps);
        Scaled<1> n = scaled(norm);
        constants[0][lane.thread] = n.scale.v[0], constants[1][lane.thread] = n.shift.v[0];
        constants[2][lane.thread] = norm.mean.v[0], constants[3][lane.thread] = norm.inv.v[0];
    }
    float products[Columns][4];
    for (int f = 0; f < Columns; f++) products[f][0] = products[f][1] = products[f][2] = products[f][3] = 0;
    Size tiles = (M + GradRows - 1) / GradRows, images = M / area;
    Size first = gate ? images * part / parts * area : tiles * part / parts * GradRows;
    Size last = gate ? images * (part + 1) / parts * area : tiles * (part + 1) / parts * GradRows;
    if (last > M) last = M;
    Size segment = gate ? area : last - first; // rows whose sums go together
    for (Size begin = first; begin < last; begin += segment) {
        FiveSums own[2][2] = {}; // of fragments' two channels
        for (Size m0 = begin; m0 < begin + segment; m0 += GradRows) {
            int rows = begin + segment - m0 < GradRows ? (int)(begin + segment - m0) : GradRows;
            __syncthreads(); // the tile before is done
            for (int i = lane.thread; i < GradRows / 2 * N / 8; i += ProductThreads) {
                int m = i % (GradRows / 2) * 2, n = i / (GradRows / 2) * 8;
                const Map* from = dy + (m0 + m) * N + n;
                const uint4 none = make_uint4(0, 0, 0, 0);
                putPairs(grads + n * GradApart + m / 2, GradApart, m < rows ? *(const uint4*)from : none, m + 1 < rows ? *(const uint4*)(from + N) : none);
            }
            Pair values[2][2]; // of x, where the thread has da
            for (int f = 0; f < 2; f++) {
                for (int h = 0; h < 2; h++) {
                    int row = rowGroup * 16 + lane.g + 8 * h, k = k0 + half * 16 + f * 8 + 2 * lane.q;
                    values[f][h] = row < rows && k < K ? *(const Pair*)(x + (m0 + row) * K + k) : 0;
                }
            }
            __syncthreads();
            float d[2][4];
            for (int f = 0; f < 2; f++) d[f][0] = d[f][1] = d[f][2] = d[f][3] = 0;
            for (int n = 0; n < N; n += 16) {
                Pair left[4];
                for (int i = 0; i < 4; i++) {
                    int row = rowGroup * 16 + lane.g + i % 2 * 8, column = n + 2 * lane.q + i / 2 * 8;
                    left[i] = at(grads, column * 2 * GradApart + row) | at(grads, (column + 1) * 2 * GradApart + row) << 16;
                }
#pragma unroll
                for (int f = 0; f < 2; f++) {
                    const Pair* column = weights + (half * 16 + f * 8 + lane.g) * Wide + n / 2 + lane.q;
                    Pair right[2] = {column[0], column[4]};
                    multiplyAdd16(d[f], left, right);
                }
            }
#pragma unroll
            for (int f = 0; f < 2; f++) {
                int k = half * 16 + f * 8 + 2 * lane.q; // of the block
                bool some = k0 + k < K;
#pragma unroll
                for (int h = 0; h < 2; h++) {
                    int row = rowGroup * 16 + lane.g + 8 * h;
                    Pair a = 0;
                    if (some && row < rows) {
                        float seenBy[2];
                        for (int j = 0; j < 2; j++) {
                            float v = widen(j ? values[f][h] >> 16 : values[f][h] & 0xffff), g = d[f][2 * h + j];
                            float z = v * constants[0][k + j] + constants[1][k + j], xhat = (v - constants[2][k + j]) * constants[3][k + j];
                            float s = slope(act, z), y = activate(act, z);
                            FiveSums& sum = own[f][j];
                            sum.v[1] += g * s, sum.v[3] += g * s * xhat;
                            if (gate) {
                                sum.v[0] += y * g, sum.v[2] += s, sum.v[4] += s * xhat;
                                y *= gate[begin / area * K + k0 + k + j];
                            }
                            seenBy[j] = y;
                        }
                        a = narrow(seenBy[0], seenBy[1]);
                        *(Pair*)(da + (m0 + row) * K + k0 + k) = narrow(d[f][2 * h], d[f][2 * h + 1]);
                    }
                    ((unsigned short*)seen)[k * 2 * GradApart + row] = (unsigned short)a;
                    ((unsigned short*)seen)[(k + 1) * 2 * GradApart + row] = (unsigned short)(a >> 16);
                }
            }
            __syncthreads();
#pragma unroll
            for (int m = 0; m < GradRows / 2; m += 8) {
                const Pair* row = seen + (rowGroup * 16 + lane.g) * GradApart + m + lane.q;
                Pair left[4] = {row[0], row[8 * GradApart], row[4], row[8 * GradApart + 4]};
#pragma unroll
                for (int f = 0; f < Columns; f++) {
                    const Pair* column = grads + ((half * Columns + f) * 8 + lane.g) * GradApart + m + lane.q;
                    Pair right[2] = {column[0], column[4]};
                    multiplyAdd16(products[f], left, right);
                }
            }
        }
        // The sums of the segment: over the threads of a fragment, then over the warps.
        __syncthreads();
        for (int f = 0; f < 2; f++) {
            for (int j = 0; j < 2; j++) {
                for (int s = 0; s < 5; s++) {
                    float v = own[f][j].v[s];
                    for (int offset = 16; offset >= 4; offset /= 2) v += __shfl_down_sync(0xffffffffu, v, offset);
                    if (lane.g == 0) totals[rowGroup][half * 16 + f * 8 + 2 * lane.q + j].v[s] = v;
                }
            }
        }
        __syncthreads();
        for (int i = lane.thread; i < 5 * GradColumns; i += ProductThreads) {
            int s = i / GradColumns, k = i % GradColumns;
            if (k0 + k >= K || (!gate && s != 1 && s != 3)) continue;
            float v = 0;
            for (int r = 0; r < 2; r++) v += totals[r][k].v[s];
            Size to = gate ? (s * images + begin / area) * K : (part * 2 + s / 2) * K;
            sums[to + k0 + k] = v;
        }
    }
    for (int f = 0; f < Columns; f++) {
        for (int i = 0; i < 4; i++) {
            int k = k0 + rowGroup * 16 + lane.g + i / 2 * 8, n = (half * Columns + f) * 8 + 2 * lane.q + i % 2;
            if (k < K && n < N) dw[(part * K + k) * N + n] = products[f][i];
        }
    }
}

extern "C" __global__ void projectGrad32(const Map* x, const float* stats, const float* gamma, const float* beta, const float* gate, const float* w, const Map* dy,
                                         Map* da, float* dw, float* sums, Size M, int N, int K, int area, int parts, float eps, int act) {
    projectGrad<32>(x, stats, gamma, beta, gate, w, dy, da, dw, sums, M, N, K, area, parts, eps, act);
}

extern "C" __global__ void projectGrad64(const Map* x, const float* stats, const float* gamma, const float* beta, const float* gate, const float* w, const Map* dy,
                                         Map* da, float* dw, float* sums, Size M, int N, int K, int area, int parts, float eps, int act) {
    projectGrad<64>(x, stats, gamma, beta, gate, w, dy, da, dw, sums, M, N, K, area, parts, eps, act);
}

extern "C" __global__ void projectGrad128(const Map* x, const float* stats, const float* gamma, const float* beta, const float* gate, const float* w, const Map* dy,
                                          Map* da, float* dw, float* sums, Size M, int N, int K, int area, int parts, float eps, int act) {
    projectGrad<128>(x, stats, gamma, beta, gate, w, dy, da, dw, sums, M, N, K, area, parts, eps, act);
}

const int ExpandRows = 64; // of a tile of expandGrad

// expandGrad is an ExpandGrad of narrow rows: dx [M,K] = dc·w', of w [K,N], and the parts'
// dw [parts,K,N] = x'·dc, where dc is what the normalisation of c [M,N] sends back of dy
// (see GradNorm). K is at most 16*Groups and MostK, N at most 8*Fragments; both are multiples
// of 8.
//
// A block goes through some of the rows, Rows at a time. It keeps all weights, and has dw in
// registers until its end, Own fragments a warp. Launch: a block a part, MaxThreads threads.
template <int Groups, int Fragments>
__device__ inline void expandGrad(const Map* x, const float* w, const Map* c, const float* stats, const float* gamma, const float* beta, const Map* dy, const float* sums,
                                  Map* dx, float* dw, Size M, int N, int K, int parts, float eps, int act) {
    constexpr int Rows = ExpandRows, MostK = 16 * Groups, Most = Fragments * 8, Wide = Most / 2 + 4, Apart = Rows / 2 + 4;
    constexpr int Own = (Groups * Fragments + 7) / 8, RowGroups = Rows / 16, Shares = 8 / RowGroups, OfDx = MostK / 8 / Shares;
    __shared__ uint4 memory[((Most + MostK) * Apart + MostK * Wide) / 4];
    __shared__ float constants[5][Most]; // of GradNorm
    Pair *grads = (Pair*)memory, *seen = grads + Most * Apart, *weights = seen + MostK * Apart;
    Lane lane;
    Size part = blockIdx.x, tiles = (M + Rows - 1) / Rows;
    for (int i = lane.thread; i < (Most + MostK) * Apart; i += MaxThreads) grads[i] = 0;
    for (int i = lane.thread; i < MostK * Most / 2; i += MaxThreads) {
        int k = i / (Most / 2), n = i % (Most / 2) * 2;
        bool inside = k < K && n < N;
        const float* from = w + (Size)k * N + n;
        weights[k * Wide + n / 2] = inside ? narrow(from[0], from[1]) : 0;
    }
    for (int n = lane.thread; n < N; n += MaxThreads) {
        GradNorm<1> g = gradNorm<1>(loadNorm<1>(stats, gamma, beta, N, n, eps), sums, M, N, n);
        constants[0][n] = g.n.scale.v[0], constants[1][n] = g.n.shift.v[0], constants[2][n] = g.mean.v[0];
        constants[3][n] = g.slant.v[0], constants[4][n] = g.level.v[0];
    }
    float products[Own][4];
    for (int f = 0; f < Own; f++) products[f][0] = products[f][1] = products[f][2] = products[f][3] = 0;
    int rowGroup = lane.warp % RowGroups, share = lane.warp / RowGroups;
    for (Size tile = tiles * part / parts; tile < tiles * (part + 1) / parts; tile++) {
        Size m0 = tile * Rows;
        int rows = M - m0 < Rows ? (int)(M - m0) : Rows;
        const uint4 none = make_uint4(0, 0, 0, 0);
        __syncthreads(); // the tile before is done
        for (int i = lane.thread; i < Rows / 2 * K / 8; i += MaxThreads) {
            int m = i % (Rows / 2) * 2, k = i / (Rows / 2) * 8;
            const Map* from = x + (m0 + m) * K + k;
            putPairs(seen + k * Apart + m / 2, Apart, m < rows ? *(const uint4*)from : none, m + 1 < rows ? *(const uint4*)(from + K) : none);
        }
        for (int i = lane.thread; i < Rows / 2 * N / 8; i += MaxThreads) {
            int m = i % (Rows / 2) * 2, n = i / (Rows / 2) * 8;
            uint4 both[2];
#pragma unroll
            for (int r = 0; r < 2; r++) {
                both[r] = none;
                if (m + r >= rows) continue;
                Size from = (m0 + m + r) * N + n;
                Vec<8> v = load<8>(c + from), d = load<8>(dy + from);
#pragma unroll
                for (int i = 0; i < 8; i++) {
                    float dz = d.v[i] * slope(act, v.v[i] * constants[0][n + i] + constants[1][n + i]);
                    d.v[i] = constants[0][n + i] * dz + (constants[3][n + i] * (v.v[i] - constants[2][n + i]) + constants[4][n + i]);
                }
                both[r] = make_uint4(narrow(d.v[0], d.v[1]), narrow(d.v[2], d.v[3]), narrow(d.v[4], d.v[5]), narrow(d.v[6], d.v[7]));
            }
            putPairs(grads + n * Apart + m / 2, Apart, both[0], both[1]);
        }
        __syncthreads();
        float d[OfDx][4];
        for (int f = 0; f < OfDx; f++) d[f][0] = d[f][1] = d[f][2] = d[f][3] = 0;
        for (int n = 0; n < N; n += 16) {
            Pair left[4];
            for (int i = 0; i < 4; i++) {
                int row = rowGroup * 16 + lane.g + i % 2 * 8, column = n + 2 * lane.q + i / 2 * 8;
                left[i] = at(grads, column * 2 * Apart + row) | at(grads, (column + 1) * 2 * Apart + row) << 16;
            }
#pragma unroll
            for (int f = 0; f < OfDx; f++) {
                const Pair* column = weights + ((share + f * Shares) * 8 + lane.g) * Wide + n / 2 + lane.q;
                Pair right[2] = {column[0], column[4]};
                multiplyAdd16(d[f], left, right);
            }
        }
#pragma unroll
        for (int f = 0; f < OfDx; f++) {
            for (int h = 0; h < 2; h++) {
                int row = rowGroup * 16 + lane.g + 8 * h, k = (share + f * Shares) * 8 + 2 * lane.q;
                if (row < rows && k < K) *(Pair*)(dx + (m0 + row) * K + k) = narrow(d[f][2 * h], d[f][2 * h + 1]);
            }
        }
#pragma unroll 1
        for (int m = 0; m < Rows / 2; m += 8) {
#pragma unroll
            for (int f = 0; f < Own; f++) {
                int own = (lane.warp * Own + f) % (Groups * Fragments); // fragments of a warp share most of their rows
                const Pair *row = seen + (own / Fragments * 16 + lane.g) * Apart + m + lane.q, *column = grads + (own % Fragments * 8 + lane.g) * Apart + m + lane.q;
                Pair left[4] = {row[0], row[8 * Apart], row[4], row[8 * Apart + 4]}, right[2] = {column[0], column[4]};
                multiplyAdd16(products[f], left, right);
            }
        }
    }
    for (int f = 0; f < Own; f++) {
        int own = lane.warp * Own + f;
        for (int i = 0; i < 4 && own < Groups * Fragments; i++) {
            int k = own / Fragments * 16 + lane.g + i / 2 * 8, n = own % Fragments * 8 + 2 * lane.q + i % 2;
            if (k < K && n < N) dw[(part * K + k) * N + n] = products[f][i];
        }
    }
}

extern "C" __global__ void expandGrad16(const Map* x, const float* w, const Map* c, const float* stats, const float* gamma, const float* beta, const Map* dy, const float* sums,
                                        Map* dx, float* dw, Size M, int N, int K, int parts, float eps, int act) {
    expandGrad<1, 12>(x, w, c, stats, gamma, beta, dy, sums, dx, dw, M, N, K, parts, eps, act);
}

extern "C" __global__ void expandGrad32(const Map* x, const float* w, const Map* c, const float* stats, const float* gamma, const float* beta, const Map* dy, const float* sums,
                                        Map* dx, float* dw, Size M, int N, int K, int parts, float eps, int act) {
    expandGrad<2, 24>(x, w, c, stats, gamma, beta, dy, sums, dx, dw, M, N, K, parts, eps, act);
}
