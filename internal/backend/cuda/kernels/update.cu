// Update rules and running averages: backend/spec.go has their formulas. Flat
// launches.

// Decay gives the rules' gradient d of weight w, and shrinks w if decoupled.
struct Decay {
    float lr, factor, weightDecay;
    int decoupled;

    __device__ bool held() const { return factor != factor; } // see guard
    __device__ float gradient(float g, float& w) const {
        if (!decoupled) return factor * g + weightDecay * w;
        w -= lr * weightDecay * w;
        return factor * g;
    }
};

__device__ inline Decay loadDecay(const float* rates, float weightDecay, int decoupled) {
    return Decay{rates[0], rates[1], weightDecay, decoupled};
}

extern "C" __global__ void rmsprop(const float* g, const float* rates, float* w, float* ms, float* buf, Size n,
                                   float rho, float momentum, float eps, float weightDecay, int decoupled, int vec) {
    Decay decay = loadDecay(rates, weightDecay, decoupled);
    if (decay.held()) return;
    each(vec, n, [=](Size i, auto width) {
        constexpr int V = decltype(width)::V;
        Vec<V> a = load<V>(g + i), b = load<V>(w + i), s = load<V>(ms + i), m = load<V>(buf + i);
        for (int k = 0; k < V; k++) {
            float d = decay.gradient(a.v[k], b.v[k]);
            s.v[k] = rho * s.v[k] + (1 - rho) * d * d;
            m.v[k] = momentum * m.v[k] + decay.lr * d / sqrtf(s.v[k] + eps);
            b.v[k] -= m.v[k];
        }
        store<V>(w + i, b), store<V>(ms + i, s), store<V>(buf + i, m);
    });
}

extern "C" __global__ void sgd(const float* g, const float* rates, float* w, float* buf, Size n,
                               float momentum, float weightDecay, int decoupled, int vec) {
    Decay decay = loadDecay(rates, weightDecay, decoupled);
    if (decay.held()) return;
    each(vec, n, [=](Size i, auto width) {
        constexpr int V = decltype(width)::V;
        Vec<V> a = load<V>(g + i), b = load<V>(w + i), m = load<V>(buf + i);
        for (int k = 0; k < V; k++) {
            float d = decay.gradient(a.v[k], b.v[k]);
            m.v[k] = momentum * m.v[k] + d;
            b.v[k] -= decay.lr * m.v[k];
        }
        store<V>(w + i, b), store<V>(buf + i, m);
    });
}

// rest1 is 1-beta1 and rest2 1-beta2, subtracted in float64.
extern "C" __global__ void adam(const float* g, const float* rates, float* w, float* m, float* v, Size n,
                                float beta1, float rest1, float beta2, float rest2, float eps, float weightDecay, int decoupled, int vec) {
    Decay decay = loadDecay(rates, weightDecay, decoupled);
    if (decay.held()) return;
    float first = rates[0] * rates[2], second = rates[3];
    each(vec, n, [=](Size i, auto width) {
        constexpr int V = decltype(width)::V;
        Vec<V> a = load<V>(g + i), b = load<V>(w + i), p = load<V>(m + i), q = load<V>(v + i);
        for (int k = 0; k < V; k++) {
            float d = decay.gradient(a.v[k], b.v[k]);
            p.v[k] = beta1 * p.v[k] + rest1 * d;
            q.v[k] = beta2 * q.v[k] + rest2 * d * d;
            b.v[k] -= first * p.v[k] / (sqrtf(q.v[k]) * second + eps);
        }
        store<V>(w + i, b), store<V>(m + i, p), store<V>(v + i, q);
    });
}

extern "C" __global__ void average(const float* x, const float* decay, float* avg, Size n, int vec) {
    float rate = decay[0];
    each(vec, n, [=](Size i, auto width) {
        constexpr int V = decltype(width)::V;
        Vec<V> a = load<V>(x + i), b = load<V>(avg + i);
        for (int k = 0; k < V; k++) b.v[k] = a.v[k] + rate * (b.v[k] - a.v[k]);
        store<V>(avg + i, b);
    });
}

extern "C" __global__ void runningStats(const float* batch, const float* correction, float* running, Size n, float momentum, int vec) {
    each(vec, n, [=](Size i, auto width) {
        constexpr int V = decltype(width)::V;
        Vec<V> a = load<V>(batch + i), c = load<V>(correction + i), b = load<V>(running + i);
        for (int k = 0; k < V; k++) b.v[k] += momentum * (a.v[k] * c.v[k] - b.v[k]);
        store<V>(running + i, b);
    });
}

// guard: the factors of rates [4*groups] are NaN if the loss is not finite. Launch: one
// block.
extern "C" __global__ void guard(const float* loss, float* rates, int groups) {
    if (loss[0] - loss[0] == 0) return;
    for (int i = threadIdx.x; i < groups; i += blockDim.x) rates[4 * i + 1] = __uint_as_float(0x7fc00000u);
}

// sumSquares: parts[blockIdx.x] = the sum of the block's squares, in float64.
extern "C" __global__ void sumSquares(const float* g, double* parts, Size n) {
    double sum = 0;
    for (Size i = (Size)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += (Size)gridDim.x * blockDim.x) sum += (double)g[i] * g[i];
    sum = blockTotal(sum, [](double a, double b) { return a + b; });
    if (threadIdx.x == 0) parts[blockIdx.x] = sum;
}

// clipNorm: norm = rates[1]*sqrt(sum of parts), rates[1] *= min(1, max/(norm+1e-6)).
// Launch: one block.
extern "C" __global__ void clipNorm(const double* parts, float* rates, float* norm, int n, float most) {
    double sum = 0;
    for (int i = threadIdx.x; i < n; i += blockDim.x) sum += parts[i];
    sum = blockTotal(sum, [](double a, double b) { return a + b; });
    if (threadIdx.x > 0) return;
    double length = (double)rates[1] * sqrt(sum), coefficient = most / (length + 1e-6);
    norm[0] = (float)length;
    if (coefficient < 1) rates[1] *= (float)coefficient;
}
