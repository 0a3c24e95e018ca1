// Normalisations by statistics that stay the same, folded into the weights before
// them, and what is left of them.

// fold: folded[r,c] = w[r,c]*scale[c] and bias[c] = beta[c] - mean[c]*scale[c], with
// scale = gamma/sqrt(variance+eps). Launch: channels by the weights' rows.
extern "C" __global__ void fold(const float* w, const float* stats, const float* gamma, const float* beta, Map* folded, float* bias,
                                Size rows, int C, float eps, int vec) {
    channels(vec, C, [=](int c, auto width) {
        constexpr int V = decltype(width)::V;
        Norm<V> n = loadNorm<V>(stats, gamma, beta, C, c, eps);
        for (int i = 0; i < V; i++) n.gamma.v[i] *= n.inv.v[i];
        for (Size r = firstRow(); r < rows; r += rowStep()) {
            Vec<V> a = load<V>(w + r * C + c);
            for (int i = 0; i < V; i++) a.v[i] *= n.gamma.v[i];
            store<V>(folded + r * C + c, a);
        }
        if (firstRow() > 0) return;
        for (int i = 0; i < V; i++) n.beta.v[i] -= n.mean.v[i] * n.gamma.v[i];
        store<V>(bias + c, n.beta);
    });
}

// biasAct: y = act(x + bias), y may be x. Launch: channels by rows.
extern "C" __global__ void biasAct(const Map* x, const float* bias, Map* y, Size rows, int C, int act, int vec) {
    channels(vec, C, [=](int c, auto width) {
        constexpr int V = decltype(width)::V;
        Vec<V> b = load<V>(bias + c);
        for (Size r = firstRow(); r < rows; r += rowStep()) {
            Vec<V> a = load<V>(x + r * C + c);
            for (int i = 0; i < V; i++) a.v[i] = activate(act, a.v[i] + b.v[i]);
            store<V>(y + r * C + c, a);
        }
    });
}

// sumBiasAct: out[s,c] = scale * sum of act(x[s,l,c] + bias[c]). Launch: as reduce's.
extern "C" __global__ void sumBiasAct(const Map* x, const float* bias, float* out,
                                      int S, Size L, int parts, int C, float scale, int act, int vec) {
    reduce<1>(vec, S, L, parts, C, scale, out, [=](int c, auto width) {
        constexpr int V = decltype(width)::V;
        Vec<V> b = load<V>(bias + c);
        return [=](Size r, Vec<V>* sums) {
            Vec<V> a = load<V>(x + r * C + c);
            for (int i = 0; i < V; i++) sums[0].v[i] += activate(act, a.v[i] + b.v[i]);
        };
    });
}
