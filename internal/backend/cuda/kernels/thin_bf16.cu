// thin.cu of bf16 maps, by tensor cores.

// thinConvPairs is thinConv. Out is a multiple of 8.
extern "C" __global__ void thinConvPairs(const Map* x, const float* w, Map* y, Shape s, int parts) {
    constexpr int Out = ThinColumns / 2 + 4; // pairs from result to result
    static_assert(ThinPixels == BM && MostTaps == BK && ThinThreads == ProductThreads, "a tile is one of mapMatMul's");
    __shared__ uint4 windowMemory[ThinPixels * Apart / 4], resultMemory[ThinPixels * Out / 4];
    __shared__ Pair weights[ThinColumns * Apart];
    __shared__ int taps[MostTaps];
    Pair *windows = (Pair*)windowMemory, *results = (Pair*)resultMemory;
    Thin t(s, parts);
    Lane lane;
    putTaps(t, taps);
    for (int i = lane.thread; i < ThinColumns * Inner; i += ThinThreads) {
        int n = t.n0 + i % ThinColumns, k = i / ThinColumns * 2;
        const float* from = w + k * s.Out + n;
        weights[i % ThinColumns * Apart + k / 2] = narrow(k < t.depth && n < s.Out ? from[0] : 0, k + 1 < t.depth && n < s.Out ? from[s.Out] : 0);
    }
    for (Size tile = t.from; tile < t.to; tile++) {
        int m0 = (int)tile * ThinPixels, p = lane.thread % ThinPixels;
        __syncthreads(); // the taps are there, and the windows before are done with
        Window window = t.window(x, m0 + p);
        for (int k = lane.thread / ThinPixels * 8; k < MostTaps; k += ThinThreads / ThinPixels * 8) {
            Pair pairs[4];
            for (int i = 0; i < 4; i++) pairs[i] = narrow(t.value(window, taps, k + 2 * i), t.value(window, taps, k + 2 * i + 1));
            *(uint4*)(windows + p * Apart + k / 2) = make_uint4(pairs[0], pairs[1], pairs[2], pairs[3]);
        }
        __syncthreads();
        float sums[ThinColumns / 8][4];
        for (int f = 0; f < ThinColumns / 8; f++) sums[f][0] = sums[f][1] = sums[f][2] = sums[f][3] = 0;
        multiplyTile<ThinColumns / 8>(lane, windows, weights, sums);
        for (int f = 0; f < ThinColumns / 8; f++) {
            Pair* to = results + (lane.warp * 16 + lane.g) * Out + f * 4 + lane.q;
            to[0] = narrow(sums[f][0], sums[f][1]), to[8 * Out] = narrow(sums[f][2], sums[f][3]);
        }
        __syncthreads();
        for (int i = lane.thread; i < ThinPixels * ThinColumns / 8; i += ThinThreads) {
            int row = i / (ThinColumns / 8), n = i % (ThinColumns / 8) * 8;
            if (m0 + row < t.pixels && t.n0 + n < s.Out) *(uint4*)(y + (Size)(m0 + row) * s.Out + t.n0 + n) = *(uint4*)(results + row * Out + n / 2);
        }
    }
}

// thinGradPairs is thinGrad. Out is a multiple of 8. A warp has 16 rows and half of the
// columns of dw.
extern "C" __global__ void thinGradPairs(const Map* x, const Map* dy, float* dw, Shape s, int parts) {
    constexpr int Pairs = ThinPixels / 2, Apart = Pairs + 4, Columns = ThinColumns / 16;
    __shared__ Pair seen[MostTaps * Apart], grads[ThinColumns * Apart]; // of neighbouring results
    __shared__ int taps[MostTaps];
    Thin t(s, parts);
    Lane lane;
    putTaps(t, taps);
    float sums[Columns][4];
    for (int f = 0; f < Columns; f++) sums[f][0] = sums[f][1] = sums[f][2] = sums[f][3] = 0;
    int rowGroup = lane.warp % 2, half = lane.warp / 2;
    for (Size tile = t.from; tile < t.to; tile++) {
        int m0 = (int)tile * ThinPixels, p = lane.thread % Pairs;
        __syncthreads(); // the taps are there, and the tile before is done
        Window first = t.window(x, m0 + 2 * p), second = t.window(x, m0 + 2 * p + 1);
        for (int k = lane.thread / Pairs; k < MostTaps; k += ThinThreads / Pairs) seen[k * Apart + p] = narrow(t.value(first, taps, k), t.value(second, taps, k));
        for (int i = lane.thread; i < Pairs * ThinColumns / 8; i += ThinThreads) {
            int m = i % Pairs * 2, n = i / Pairs * 8;
            const Map* from = dy + (Size)(m0 + m) * s.Out + t.n0 + n;
            const uint4 none = make_uint4(0, 0, 0, 0);
            bool some = t.n0 + n < s.Out;
            putPairs(grads + n * Apart + m / 2, Apart, some && m0 + m < t.pixels ? *(const uint4*)from : none, some && m0 + m + 1 < t.pixels ? *(const uint4*)(from + s.Out) : none);
        }
        __syncthreads();
#pragma unroll
        for (int m = 0; m < Pairs; m += 8) {
            const Pair* row = seen + (rowGroup * 16 + lane.g) * Apart + m + lane.q;
            Pair left[4] = {row[0], row[8 * Apart], row[4], row[8 * Apart + 4]};
#pragma unroll
            for (int f = 0; f < Columns; f++) {
                const Pair* column = grads + ((half * Columns + f) * 8 + lane.g) * Apart + m + lane.q;
                Pair right[2] = {column[0], column[4]};
                multiplyAdd16(sums[f], left, right);
            }
        }
    }
    for (int f = 0; f < Columns; f++) {
        for (int i = 0; i < 4; i++) {
            int k = rowGroup * 16 + lane.g + i / 2 * 8, n = t.n0 + (half * Columns + f) * 8 + 2 * lane.q + i % 2;
            if (k < t.depth && n < s.Out) dw[(t.part * t.depth + k) * s.Out + n] = sums[f][i];
        }
    }
}
