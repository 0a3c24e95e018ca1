// Depthwise convolutions whose normalisation is folded, tile by tile, as in tiles.cu, with
// the means of what they give.

// perImage is how many tiles an image of H x W results has.
template <int Rows, int Columns>
__device__ inline int perImage(int H, int W) { return blocksOf(H, Rows) * blocksOf(W, Columns); }

// foldedTiles: y is act(f + bias), where f is the convolution of what fill(tile) puts in
// memory: for each pixel that the tile meets Lanes*V channels, zero outside of the map.
// sums [N,perImage,C] are those of y in each tile, times scale, unless null. constants have
// room for the filter and the bias.
template <int K, int S, int Images, int Rows, int Columns, int Run, int V, class Fill>
__device__ inline void foldedTiles(Map* memory, float* constants, const float* w, const float* bias, Map* y, float* sums, Shape s, int parts, float scale, int act, Fill fill) {
    using Tile = Grid<Images, Rows, Columns>;
    using Runs = Spots<Images, Rows, Columns / Run>;
    constexpr int Next = Lanes * V, Down = (Rows - 1) * S + K, Across = (Columns - 1) * S + K, Units = Runs::Pixels / Images;
    static_assert(Images * Down * Across * sizeof(Map) >= Runs::Pixels * sizeof(float), "no room for sums");
    int over = blocksOf(s.In, Next), c = (blockIdx.x % over * Lanes + threadIdx.x) * V, tiles = Tile::count(s.N, s.OutH, s.OutW);
    Size part = blockIdx.x / over;
    bool some = c < s.In;
    const Map* map = memory + threadIdx.x * V;
    float *filter = constants + threadIdx.x * V, *level = filter + K * K * Next, *left = (float*)memory + threadIdx.x * V;
    if (some) {
        for (int k = threadIdx.y; k < K * K; k += blockDim.y) store<V>(filter + k * Next, load<V>(w + k * s.In + c));
        if (threadIdx.y == 0) store<V>(level, load<V>(bias + c));
    }
    Runs run(threadIdx.y);
    run.column *= Run;
    for (int t = tiles * part / parts; t < tiles * (part + 1) / parts; t++) {
        Tile tile(s.OutH, s.OutW, t);
        __syncthreads(); // constants are there, and the tile before is done
        fill(tile);
        __syncthreads();
        Vec<V> results[Run], total = zero<V>();
        for (int q = 0; q < Run; q++) results[q] = zero<V>();
#pragma unroll 1
        for (int a = 0; some && a < K; a++) {
            const Map* line = map + ((run.image * Down + run.row * S + a) * Across + run.column * S) * Next;
            const float* taps = filter + a * K * Next;
            addRow<K, S, Run, false, V>([=](int k) { return load<V>(line + k * Next); }, [=](int k) { return load<V>(taps + k * Next); }, results);
        }
        int image = tile.image + run.image, i = tile.row + run.row, j = tile.column + run.column;
        if (some && image < s.N && i < s.OutH) {
            Vec<V> b = load<V>(level);
            Map* out = y + pixel(image, i, j, s.OutH, s.OutW, s.In) + c;
#pragma unroll
            for (int q = 0; q < Run; q++) {
                if (j + q >= s.OutW) break;
                for (int k = 0; k < V; k++) {
                    results[q].v[k] = activate(act, results[q].v[k] + b.v[k]);
                    total.v[k] += results[q].v[k];
                }
                store<V>(out + (Size)q * s.In, results[q]);
            }
        }
        if (!sums) continue;
        __syncthreads(); // the tile is read
        store<V>(left + threadIdx.y * Next, total);
        __syncthreads();
        if (!some || threadIdx.y >= Images || tile.image + (int)threadIdx.y >= s.N) continue;
        total = zero<V>();
        for (int u = 0; u < Units; u++) {
            Vec<V> a = load<V>(left + (threadIdx.y * Units + u) * Next);
            for (int k = 0; k < V; k++) total.v[k] += a.v[k];
        }
        for (int k = 0; k < V; k++) total.v[k] *= scale;
        int per = perImage<Rows, Columns>(s.OutH, s.OutW);
        store<V>(sums + ((Size)(tile.image + threadIdx.y) * per + t % per) * s.In + c, total);
    }
}

// foldedDepthwise is foldedTiles of act1(x + bias1), or of x if bias1 is null.
template <int K, int S, int Images, int Rows, int Columns, int Run>
__device__ inline void foldedDepthwise(const Map* x, const float* bias1, const float* w, const float* bias, Map* y, float* sums,
                                       Shape s, int parts, float scale, int act1, int act, int vec) {
    using Met = Spots<Images, (Rows - 1) * S + K, (Columns - 1) * S + K>;
    __shared__ uint4 met[Met::Pixels * 4];
    __shared__ float4 constants[(K * K + 1) * Lanes];
    withWidth<Few>(vec, [=](auto width) {
        constexpr int V = decltype(width)::V, Next = Lanes * V;
        int c = (blockIdx.x % blocksOf(s.In, Next) * Lanes + threadIdx.x) * V;
        foldedTiles<K, S, Images, Rows, Columns, Run, V>((Map*)met, (float*)constants, w, bias, y, sums, s, parts, scale, act, [=](Grid<Images, Rows, Columns> tile) {
            Vec<V> level = bias1 && c < s.In ? load<V>(bias1 + c) : zero<V>();
            for (int i = threadIdx.y; c < s.In && i < Met::Pixels; i += blockDim.y) {
                Met m(i);
                int image = tile.image + m.image, iy = tile.row * S - s.Top + m.row, ix = tile.column * S - s.Left + m.column;
                Vec<V> a = zero<V>();
                if (image < s.N && iy >= 0 && iy < s.H && ix >= 0 && ix < s.W) {
                    a = load<V>(x + pixel(image, iy, ix, s.H, s.W, s.In) + c);
                    for (int k = 0; bias1 && k < V; k++) a.v[k] = activate(act1, a.v[k] + level.v[k]);
                }
                store<V>((Map*)met + i * Next + threadIdx.x * V, a);
            }
        });
    });
}

extern "C" __global__ void foldedDepthwise3(const Map* x, const float* bias1, const float* w, const float* bias, Map* y, float* sums,
                      Shape s, int parts, float scale, int act1, int act, int vec) {
    foldedDepthwise<3, 1, 1, 14, 14, 7>(x, bias1, w, bias, y, sums, s, parts, scale, act1, act, vec);
}

extern "C" __global__ void foldedDepthwise3Small(const Map* x, const float* bias1, const float* w, const float* bias, Map* y, float* sums,
                      Shape s, int parts, float scale, int act1, int act, int vec) {
    foldedDepthwise<3, 1, 4, 7, 7, 7>(x, bias1, w, bias, y, sums, s, parts, scale, act1, act, vec);
}

extern "C" __global__ void foldedDepthwise3Stride2(const Map* x, const float* bias1, const float* w, const float* bias, Map* y, float* sums,
                      Shape s, int parts, float scale, int act1, int act, int vec) {
    foldedDepthwise<3, 2, 1, 4, 14, 2>(x, bias1, w, bias, y, sums, s, parts, scale, act1, act, vec);
}

extern "C" __global__ void foldedDepthwise5(const Map* x, const float* bias1, const float* w, const float* bias, Map* y, float* sums,
                      Shape s, int parts, float scale, int act1, int act, int vec) {
    foldedDepthwise<5, 1, 1, 14, 14, 7>(x, bias1, w, bias, y, sums, s, parts, scale, act1, act, vec);
}

extern "C" __global__ void foldedDepthwise5Small(const Map* x, const float* bias1, const float* w, const float* bias, Map* y, float* sums,
                      Shape s, int parts, float scale, int act1, int act, int vec) {
    foldedDepthwise<5, 1, 4, 7, 7, 7>(x, bias1, w, bias, y, sums, s, parts, scale, act1, act, vec);
}

extern "C" __global__ void foldedDepthwise5Stride2(const Map* x, const float* bias1, const float* w, const float* bias, Map* y, float* sums,
                      Shape s, int parts, float scale, int act1, int act, int vec) {
    foldedDepthwise<5, 2, 1, 4, 14, 2>(x, bias1, w, bias, y, sums, s, parts, scale, act1, act, vec);
}
