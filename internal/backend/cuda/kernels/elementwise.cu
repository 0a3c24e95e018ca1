// Value by value, and by channel or image. Flat launches: see each.

// add: y = a+b.
extern "C" __global__ void add(const Map* a, const Map* b, Map* y, Size n, int vec) {
    each(vec, n, [=](Size i, auto width) {
        constexpr int V = decltype(width)::V;
        Vec<V> p = load<V>(a + i), q = load<V>(b + i);
        for (int k = 0; k < V; k++) p.v[k] += q.v[k];
        store<V>(y + i, p);
    });
}

// activate: y = act(x).
extern "C" __global__ void activateEach(const Map* x, Map* y, Size n, int act, int vec) {
    each(vec, n, [=](Size i, auto width) {
        constexpr int V = decltype(width)::V;
        Vec<V> a = load<V>(x + i);
        for (int k = 0; k < V; k++) a.v[k] = activate(act, a.v[k]);
        store<V>(y + i, a);
    });
}

// activateGrad: dx = dy*act'(x).
extern "C" __global__ void activateGrad(const Map* x, const Map* dy, Map* dx, Size n, int act, int vec) {
    each(vec, n, [=](Size i, auto width) {
        constexpr int V = decltype(width)::V;
        Vec<V> a = load<V>(x + i), d = load<V>(dy + i);
        for (int k = 0; k < V; k++) d.v[k] *= slope(act, a.v[k]);
        store<V>(dx + i, d);
    });
}

// uniform is backend.Random.Uniform: draw i of a stream at a training step, the
// high bits of SplitMix64 (Steele, Lea & Flood, 2014), in [0,1).
__device__ inline Bits mixBits(Bits x) {
    x += 0x9e3779b97f4a7c15ull;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ x >> 27) * 0x94d049bb133111ebull;
    return x ^ x >> 31;
}

__device__ inline float uniform(Size seed, int layer, const float* step, Size i) {
    Bits t = (Bits)step[0] + ((Bits)step[1] << 24);
    Bits h = mixBits(mixBits((Bits)seed ^ (Bits)(unsigned)layer << 32) + t) + (Bits)i;
    return (float)(mixBits(h) >> 40) * (1.0f / (1 << 24));
}

// dropout: y = x/(1-p) where draw i >= p, 0 elsewhere. keep is 1-p.
extern "C" __global__ void dropout(const Map* x, const float* step, Map* y, Size n, Size seed, int layer, float p, float keep, int vec) {
    each(vec, n, [=](Size i, auto width) {
        constexpr int V = decltype(width)::V;
        Vec<V> a = load<V>(x + i);
        for (int k = 0; k < V; k++) a.v[k] /= keep; // of all: else NVRTC 13.5 loads 8 bytes at a time for sm_100
        for (int k = 0; k < V; k++) a.v[k] = uniform(seed, layer, step, i + k) >= p ? a.v[k] : 0;
        store<V>(y + i, a);
    });
}

// dropPath: y[n] = keep[n]*x[n] (+ shortcut[n], unless null) of images of size
// values; keep[n] is inverse, 1/survival, where draw n < survival, and 0 elsewhere.
// Launch: flat along an image; blockIdx.y, and every gridDim.y-th after it, is the
// image.
extern "C" __global__ void dropPath(const Map* x, const Map* shortcut, const float* step, Map* y, int N, Size size,
                                    Size seed, int layer, float survival, float inverse, int vec) {
    for (int n = blockIdx.y; n < N; n += gridDim.y) {
        float keep = survival >= 1 ? 1 : uniform(seed, layer, step, n) < survival ? inverse : 0;
        Size base = n * size;
        each(vec, size, [=](Size i, auto width) {
            constexpr int V = decltype(width)::V;
            Vec<V> a = load<V>(x + base + i);
            for (int k = 0; k < V; k++) a.v[k] *= keep;
            if (shortcut) {
                Vec<V> b = load<V>(shortcut + base + i);
                for (int k = 0; k < V; k++) a.v[k] += b.v[k];
            }
            store<V>(y + base + i, a);
        });
    }
}

// channelScale: y[n,p,c] = x[n,p,c]*s[n,c].
// Launch: channels by an image's pixels; blockIdx.z, and every gridDim.z-th after
// it, is the image.
extern "C" __global__ void channelScale(const Map* x, const float* s, Map* y, int N, int area, int C, int vec) {
    channels(vec, C, [=](int c, auto width) {
        constexpr int V = decltype(width)::V;
        for (int n = blockIdx.z; n < N; n += gridDim.z) {
            Vec<V> f = load<V>(s + (Size)n * C + c);
            for (Size p = firstRow(); p < area; p += rowStep()) {
                Size at = (n * (Size)area + p) * C + c;
                Vec<V> a = load<V>(x + at);
                for (int i = 0; i < V; i++) a.v[i] *= f.v[i];
                store<V>(y + at, a);
            }
        }
    });
}

// spread: dx[n,p,c] = dy[n,c]/area. Launch: as channelScale's.
extern "C" __global__ void spread(const float* dy, Map* dx, int N, int area, int C, int vec) {
    channels(vec, C, [=](int c, auto width) {
        constexpr int V = decltype(width)::V;
        for (int n = blockIdx.z; n < N; n += gridDim.z) {
            Vec<V> d = load<V>(dy + (Size)n * C + c);
            for (int i = 0; i < V; i++) d.v[i] /= area;
            for (Size p = firstRow(); p < area; p += rowStep()) store<V>(dx + (n * (Size)area + p) * C + c, d);
        }
    });
}

// squeezeExcite: gate = g(act(x·w1 + b1)·w2 + b2), x [N,C], w1 [C,S],
// w2 [S,C]. Launch: a block an image, S at most MaxSqueeze.
const int MaxSqueeze = 1024;

extern "C" __global__ void squeezeExcite(const float* x, const float* w1, const float* b1, const float* w2, const float* b2, float* gate,
                                         int C, int S, int act, int g) {
    __shared__ float hidden[MaxSqueeze], parts[MaxThreads];
    const float* in = x + (Size)blockIdx.x * C;
    int width = S < (int)blockDim.x ? S : blockDim.x, slices = blockDim.x / width;
    int column = threadIdx.x % width, slice = threadIdx.x / width;
    for (int base = 0; base < S; base += width) {
        int s = base + column;
        float sum = 0;
        if (s < S && slice < slices) {
#pragma unroll 8
            for (int c = slice; c < C; c += slices) sum += in[c] * w1[(Size)c * S + s];
        }
        parts[threadIdx.x] = sum;
        __syncthreads();
        if (s < S && slice == 0) {
            for (int k = 1; k < slices; k++) sum += parts[k * width + column];
            hidden[s] = activate(act, sum + b1[s]);
        }
        __syncthreads();
    }
    for (int c = threadIdx.x; c < C; c += blockDim.x) {
        float sum = b2[c];
#pragma unroll 8
        for (int s = 0; s < S; s++) sum += hidden[s] * w2[(Size)s * C + c];
        gate[(Size)blockIdx.x * C + c] = activate(g, sum);
    }
}

// toMap and fromMap: y = x in the other type of number, by Wide or 1.
extern "C" __global__ void toMap(const float* x, Map* y, Size n, int vec) {
    each<Wide>(vec, n, [=](Size i, auto width) {
        constexpr int V = decltype(width)::V;
        store<V>(y + i, load<V>(x + i));
    });
}

extern "C" __global__ void fromMap(const Map* x, float* y, Size n, int vec) {
    each<Wide>(vec, n, [=](Size i, auto width) {
        constexpr int V = decltype(width)::V;
        store<V>(y + i, load<V>(x + i));
    });
}
