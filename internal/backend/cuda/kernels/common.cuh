// What all kernels share. The files of this folder are put after each other,
// this one first, and compiled as one source. They include nothing, cuda_bf16.h neither:
// widen and narrow are all that is done with bf16. So NVRTC needs no headers, which its
// wheel does not have.
//
// Tensors are row-major, images NHWC: channels are fastest. Kernels compute in
// float32. So are values stored, but for maps, Map, of which there are two
// compilations: float, and bf16, whose kernels have _bf16 behind their names. Kernels
// work on Wide channels a thread, 16 bytes of a map, where vec is Wide, which needs a
// multiple of Wide channels and operands on 16 bytes, and on 1 where it is 1.

typedef long long Size; // a number of values: maps may have more than 2^31
typedef unsigned long long Bits;

// Vec is V neighbouring values.
template <int V>
struct Vec {
    float v[V];
};

// bf16 is a float32's upper half.
struct bf16 {
    unsigned short bits;
};

typedef float Map;

const int Wide = 16 / sizeof(Map); // channels of a thread

// Width says how many values a thread works on: a number as a type.
template <int N>
struct Width {
    static constexpr int V = N;
};

// load and store move V values: 1, 2, 4, or a multiple of 16 bytes' worth.
template <int V>
__device__ inline Vec<V> load(const float* p) {
    Vec<V> r;
    if constexpr (V == 1) {
        r.v[0] = p[0];
    } else {
        for (int i = 0; i < V; i += 4) {
            float4 f = *reinterpret_cast<const float4*>(p + i);
            r.v[i] = f.x, r.v[i + 1] = f.y, r.v[i + 2] = f.z, r.v[i + 3] = f.w;
        }
    }
    return r;
}

template <int V>
__device__ inline void store(float* p, Vec<V> x) {
    if constexpr (V == 1) {
        p[0] = x.v[0];
    } else if constexpr (V == 2) {
        *reinterpret_cast<float2*>(p) = make_float2(x.v[0], x.v[1]);
    } else {
        for (int i = 0; i < V; i += 4) {
            *reinterpret_cast<float4*>(p + i) = make_float4(x.v[i], x.v[i + 1], x.v[i + 2], x.v[i + 3]);
        }
    }
}

__device__ inline float widen(unsigned bits) { return __uint_as_float(bits << 16); }

// narrow rounds to the nearest, ties to even; a NaN stays one.
__device__ inline unsigned narrow(float x) {
    unsigned u = __float_as_uint(x);
    return x != x ? 0x7fff : (u + 0x7fff + (u >> 16 & 1)) >> 16;
}

// narrow of two values, the first in the lower half.
__device__ inline unsigned narrow(float a, float b) {
#ifdef __CUDA_ARCH__
    unsigned both;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(b), "f"(a));
    return both;
#else
    return narrow(a) | narrow(b) << 16;
#endif
}

template <int V>
__device__ inline Vec<V> load(const bf16* p) {
    Vec<V> r;
    if constexpr (V == 1) {
        r.v[0] = widen(p[0].bits);
    } else if constexpr (V == 4) {
        uint2 u = *reinterpret_cast<const uint2*>(p);
        r.v[0] = widen(u.x & 0xffff), r.v[1] = widen(u.x >> 16), r.v[2] = widen(u.y & 0xffff), r.v[3] = widen(u.y >> 16);
    } else {
        uint4 u = *reinterpret_cast<const uint4*>(p);
        unsigned pairs[] = {u.x, u.y, u.z, u.w};
        for (int i = 0; i < 4; i++) r.v[2 * i] = widen(pairs[i] & 0xffff), r.v[2 * i + 1] = widen(pairs[i] >> 16);
    }
    return r;
}

template <int V>
__device__ inline void store(bf16* p, Vec<V> x) {
    if constexpr (V == 1) {
        p[0].bits = (unsigned short)narrow(x.v[0]);
    } else if constexpr (V == 4) {
        *reinterpret_cast<uint2*>(p) = make_uint2(narrow(x.v[0], x.v[1]), narrow(x.v[2], x.v[3]));
    } else {
        unsigned pairs[4];
        for (int i = 0; i < 4; i++) pairs[i] = narrow(x.v[2 * i], x.v[2 * i + 1]);
        *reinterpret_cast<uint4*>(p) = make_uint4(pairs[0], pairs[1], pairs[2], pairs[3]);
    }
}

template <int V>
__device__ inline Vec<V> zero() {
    Vec<V> r;
    for (int i = 0; i < V; i++) r.v[i] = 0;
    return r;
}

// The non-linearities, numbered as backend.Activation. A NaN stays one.
enum Activation { Identity, Swish, ReLU, ReLU6, Sigmoid, HardSwish, HardSigmoid };

__device__ inline float sigmoid(float z) { return __fdividef(1.0f, 1.0f + __expf(-z)); }

__device__ inline float hardSigmoid(float z) { return z < -3 ? 0 : z > 3 ? 1 : (z + 3) * (1.0f / 6); }

__device__ inline float activate(int act, float z) {
    switch (act) {
    case Swish: return z * sigmoid(z);
    case ReLU: return z < 0 ? 0 : z;
    case ReLU6: return z < 0 ? 0 : z > 6 ? 6 : z;
    case Sigmoid: return sigmoid(z);
    case HardSwish: return z * hardSigmoid(z);
    case HardSigmoid: return hardSigmoid(z);
    default: return z;
    }
}

// slope is the derivative of activate.
__device__ inline float slope(int act, float z) {
    switch (act) {
    case Swish: {
        float s = sigmoid(z);
        return s * (1 + z * (1 - s));
    }
    case ReLU: return z > 0 ? 1 : 0;
    case ReLU6: return z > 0 && z < 6 ? 1 : 0;
    case Sigmoid: {
        float s = sigmoid(z);
        return s * (1 - s);
    }
    case HardSwish: return z <= -3 ? 0 : z >= 3 ? 1 : z * (1.0f / 3) + 0.5f;
    case HardSigmoid: return z > -3 && z < 3 ? 1.0f / 6 : 0;
    default: return 1;
    }
}

// Norm is a normalisation's constants of V channels:
// xhat = (x-mean)*inv, z = gamma*xhat + beta.
template <int V>
struct Norm {
    Vec<V> mean, inv, gamma, beta;

    __device__ float xhat(int i, float x) const { return (x - mean.v[i]) * inv.v[i]; }
    __device__ float z(int i, float x) const { return xhat(i, x) * gamma.v[i] + beta.v[i]; }
};

// loadNorm reads channels c... of stats [2,C], gamma [C] and beta [C].
template <int V>
__device__ inline Norm<V> loadNorm(const float* stats, const float* gamma, const float* beta, int C, int c, float eps) {
    Norm<V> n;
    n.mean = load<V>(stats + c);
    n.inv = load<V>(stats + C + c);
    n.gamma = load<V>(gamma + c);
    n.beta = load<V>(beta + c);
    for (int i = 0; i < V; i++) n.inv.v[i] = 1.0f / sqrtf(n.inv.v[i] + eps);
    return n;
}

// withWidth calls f(width), of W where vec is that, else of 1.
template <int W = Wide, class F>
__device__ inline void withWidth(int vec, F f) {
    if (vec == W) {
        f(Width<W>());
    } else {
        f(Width<1>());
    }
}

// each calls f(i, width) for every run of width values of n, in a flat launch:
// blocks of threads along x, as many as there are or fewer.
template <int W = Wide, class F>
__device__ inline void each(int vec, Size n, F f) {
    Size at = (Size)blockIdx.x * blockDim.x + threadIdx.x, step = (Size)gridDim.x * blockDim.x;
    withWidth<W>(vec, [=](auto width) {
        constexpr int V = decltype(width)::V;
        for (Size i = at * V; i < n; i += step * V) f(i, width);
    });
}

// channels calls f(c, width) with a thread's first channel of C, in a launch of
// blocks of channels (x) by rows (y). blockIdx.y is the block of channels; the
// rest of the launch is f's. Threads beyond the last channel do nothing.
template <class F>
__device__ inline void channels(int vec, int C, F f) {
    int c = (blockIdx.y * blockDim.x + threadIdx.x) * vec;
    if (c < C) withWidth(vec, [=](auto width) { f(c, width); });
}

// The rows of a thread of a channels launch: from firstRow every rowStep.
__device__ inline Size firstRow() { return (Size)blockIdx.x * blockDim.y + threadIdx.y; }
__device__ inline Size rowStep() { return (Size)gridDim.x * blockDim.y; }

const int MaxThreads = 256; // of a block

// columnTotals sums each of Q*V values over the rows of a block, its last dimension,
// in a fixed order: a tree. The sums are right in the threads of row 0. All threads of
// the block must call it, with their row.
template <int V, int Q>
__device__ inline void columnTotals(Vec<V>* sums, int row, int rows) {
    __shared__ float parts[V][MaxThreads];
    int at = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
    int across = blockDim.x * blockDim.y * blockDim.z / rows;
    for (int q = 0; q < Q; q++) {
        for (int i = 0; i < V; i++) parts[i][at] = sums[q].v[i];
        __syncthreads();
        for (int n = rows; n > 1;) {
            int half = (n + 1) / 2;
            if (row + half < n) {
                for (int i = 0; i < V; i++) parts[i][at] += parts[i][at + half * across];
            }
            __syncthreads();
            n = half;
        }
        for (int i = 0; i < V; i++) sums[q].v[i] = parts[i][at];
    }
}

// blockTotal combines one value of each thread of a block of one dimension, a
// multiple of 32 threads, by op: in a warp by shuffles, then warp by warp in
// order. Every thread gets the result.
template <class T, class Op>
__device__ inline T blockTotal(T value, Op op) {
    __shared__ T parts[MaxThreads / 32];
    for (int offset = 16; offset > 0; offset /= 2) value = op(value, __shfl_down_sync(0xffffffffu, value, offset));
    if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = value;
    __syncthreads();
    T total = parts[0];
    for (int w = 1; w < (int)blockDim.x / 32; w++) total = op(total, parts[w]);
    __syncthreads();
    return total;
}

__device__ inline float largest(float a, float b) { return a > b || a != a ? a : b; }

// Shape is backend.ConvShape.
struct Shape {
    int N, H, W, In, Kernel, Stride, Top, Left, OutH, OutW, Out;
};
