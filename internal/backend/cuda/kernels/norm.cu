// Normalise and activate, and backward.
// Launches: channels by rows.

// normAct: y = act(gamma*(x-mean)/sqrt(variance+eps) + beta).
extern "C" __global__ void normAct(const Map* x, const float* stats, const float* gamma, const float* beta, Map* y,
                                   Size rows, int C, float eps, int act, int vec) {
    channels(vec, C, [=](int c, auto width) {
        constexpr int V = decltype(width)::V;
        Norm<V> n = loadNorm<V>(stats, gamma, beta, C, c, eps);
        for (Size r = firstRow(); r < rows; r += rowStep()) {
            Vec<V> a = load<V>(x + r * C + c);
            for (int i = 0; i < V; i++) a.v[i] = activate(act, n.z(i, a.v[i]));
            store<V>(y + r * C + c, a);
        }
    });
}

// normActGate: normAct, then times gate [N,C]. Launch: as channelScale's.
extern "C" __global__ void normActGate(const Map* x, const float* stats, const float* gamma, const float* beta, const float* gate, Map* y,
                                       int N, int area, int C, float eps, int act, int vec) {
    channels(vec, C, [=](int c, auto width) {
        constexpr int V = decltype(width)::V;
        Norm<V> norm = loadNorm<V>(stats, gamma, beta, C, c, eps);
        for (int n = blockIdx.z; n < N; n += gridDim.z) {
            Vec<V> g = load<V>(gate + (Size)n * C + c);
            for (Size p = firstRow(); p < area; p += rowStep()) {
                Size at = (n * (Size)area + p) * C + c;
                Vec<V> a = load<V>(x + at);
                for (int i = 0; i < V; i++) a.v[i] = activate(act, norm.z(i, a.v[i])) * g.v[i];
                store<V>(y + at, a);
            }
        }
    });
}

// Gradient is what normalisation and activation send back, of V channels:
//
//	dx = gamma*inv * (dz - (dbeta + xhat*dgamma)/rows), dz = dy*act'(z)
//
// With sums null, by statistics that are constants, the last term is missing.
template <int V>
struct Gradient {
    Norm<V> norm;
    Vec<V> dbeta, dgamma; // over the rows
    int act;

    __device__ float dx(int i, float x, float dy) const {
        float d = dy * slope(act, norm.z(i, x)) - (dbeta.v[i] + norm.xhat(i, x) * dgamma.v[i]);
        return norm.gamma.v[i] * norm.inv.v[i] * d;
    }
};

template <int V>
__device__ inline Gradient<V> loadGradient(Norm<V> norm, const float* sums, Size rows, int C, int c, int act) {
    Gradient<V> g = {norm, zero<V>(), zero<V>(), act};
    if (sums) {
        g.dbeta = load<V>(sums + c), g.dgamma = load<V>(sums + C + c);
        for (int i = 0; i < V; i++) g.dbeta.v[i] /= rows, g.dgamma.v[i] /= rows;
    }
    return g;
}

// normActGradInput: dx of Gradient.
extern "C" __global__ void normActGradInput(const Map* x, const float* stats, const float* gamma, const float* beta, const Map* dy,
                                            const float* sums, Map* dx, Size rows, int C, float eps, int act, int vec) {
    channels(vec, C, [=](int c, auto width) {
        constexpr int V = decltype(width)::V;
        Gradient<V> g = loadGradient<V>(loadNorm<V>(stats, gamma, beta, C, c, eps), sums, rows, C, c, act);
        for (Size r = firstRow(); r < rows; r += rowStep()) {
            Vec<V> a = load<V>(x + r * C + c), d = load<V>(dy + r * C + c);
            for (int i = 0; i < V; i++) d.v[i] = g.dx(i, a.v[i], d.v[i]);
            store<V>(dx + r * C + c, d);
        }
    });
}

// gatedNormActGradInput: dx of Gradient for dy*gate + dpool/area, gate and dpool
// [N,C]. Launch: as channelScale's.
extern "C" __global__ void gatedNormActGradInput(const Map* x, const float* stats, const float* gamma, const float* beta, const Map* dy,
                                                 const float* sums, const float* gate, const float* dpool, Map* dx,
                                                 int N, int area, int C, float eps, int act, int vec) {
    channels(vec, C, [=](int c, auto width) {
        constexpr int V = decltype(width)::V;
        Gradient<V> g = loadGradient<V>(loadNorm<V>(stats, gamma, beta, C, c, eps), sums, (Size)N * area, C, c, act);
        for (int n = blockIdx.z; n < N; n += gridDim.z) {
            Vec<V> factor = load<V>(gate + (Size)n * C + c), pool = load<V>(dpool + (Size)n * C + c);
            for (int i = 0; i < V; i++) pool.v[i] /= area;
            for (Size p = firstRow(); p < area; p += rowStep()) {
                Size at = (n * (Size)area + p) * C + c;
                Vec<V> a = load<V>(x + at), d = load<V>(dy + at);
                for (int i = 0; i < V; i++) d.v[i] = g.dx(i, a.v[i], d.v[i] * factor.v[i] + pool.v[i]);
                store<V>(dx + at, d);
            }
        }
    });
}
