// Folded depthwise convolutions of bf16 maps, tile by tile, with the convolution before
// them: a tile of its results is made by tensor cores, in shared memory, from the map that
// it reads. What of them two tiles meet is made twice.

// Box is which of the pixels that a tile meets lie in the map: of its images, rows and
// columns.
struct Box {
    int images, fromY, toY, fromX, toX;

    __device__ int count() const { return images * (toY - fromY) * (toX - fromX); }
    __device__ bool has(int image, int row, int column) const {
        return image < images && row >= fromY && row < toY && column >= fromX && column < toX;
    }
};

__device__ inline int least(int a, int b) { return a < b ? a : b; }

// Pointwise is a row of the left factor that is a pixel of x.
struct Pointwise {
    static constexpr bool Table = false;
    const Map* at;
    int depth;

    __device__ Pointwise(const Map* x, const Shape& b, const int*, Size image, int y, int column)
        : at(x + pixel(image, y, column, b.OutH, b.OutW, b.In)), depth(b.In) {}
    __device__ Pair pair(int k) const { return k < depth ? *(const Pair*)(at + k) : 0; }
};

// Windowed is one that is a Window of x, of taps.
struct Windowed {
    static constexpr bool Table = true;
    Window window;
    const int* taps;
    int depth;

    __device__ Windowed(const Map* x, const Shape& b, const int* taps, Size image, int y, int column)
        : window(x, b, image, y, column), taps(taps), depth(b.Kernel * b.Kernel * b.In) {}
    __device__ unsigned one(int k) const {
        const Map* at = k < depth ? window.at(taps[k]) : nullptr;
        return at ? at->bits : 0;
    }
    __device__ Pair pair(int k) const { return one(k) | one(k + 1) << 16; }
};

// expandDepthwise is foldedTiles of act1(b + bias1), where b is the convolution of x by w1
// [depth,C], of at most Most rows, which Left reads: Pointwise or Windowed. C is a multiple
// of 8, and of a Pointwise depth too. Launch: as foldedTiles.
template <class Left, int K, int S, int Images, int Rows, int Columns, int Run, int Most>
__device__ inline void expandDepthwise(const Map* x, const Map* w1, const float* bias1, const float* w, const float* bias, Map* y, float* sums,
                                       Shape b, Shape s, int parts, float scale, int act1, int act) {
    constexpr int Group = Lanes * Few, Fragments = Group / 8, WeightsApart = Most / 2 + 4, Down = (Rows - 1) * S + K, Across = (Columns - 1) * S + K;
    using Met = Spots<Images, Down, Across>;
    __shared__ uint4 met[Met::Pixels * 4];
    __shared__ float4 constants[(K * K + 1) * Lanes];
    __shared__ Pair weights[Group * WeightsApart]; // by columns of w1
    __shared__ float level[Group];
    __shared__ int taps[Left::Table ? Most : 1];
    Lane lane;
    int threads = blockDim.x * blockDim.y, c0 = blockIdx.x % blocksOf(s.In, Group) * Group, depth = b.Kernel * b.Kernel * b.In, whole = blocksOf(depth, 16) * 16;
    for (int i = lane.thread; i < Group * whole / 2; i += threads) {
        int n = i % Group, k = i / Group * 2;
        const Map* from = w1 + k * s.In + c0 + n;
        bool some = c0 + n < s.In;
        weights[n * WeightsApart + k / 2] = (some && k < depth ? from[0].bits : 0) | (some && k + 1 < depth ? from[s.In].bits : 0) << 16;
    }
    for (int i = lane.thread; i < Group; i += threads) level[i] = c0 + i < s.In ? bias1[c0 + i] : 0;
    for (int k = lane.thread; Left::Table && k < depth; k += threads) taps[k] = packTap(b, k);
    foldedTiles<K, S, Images, Rows, Columns, Run, Few>((Map*)met, (float*)constants, w, bias, y, sums, s, parts, scale, act, [&](Grid<Images, Rows, Columns> tile) {
        int top = tile.row * S - s.Top, left = tile.column * S - s.Left;
        Box box = {least(Images, s.N - tile.image), top < 0 ? -top : 0, least(Down, s.H - top), left < 0 ? -left : 0, least(Across, s.W - left)};
        int high = box.toY - box.fromY, wide = box.toX - box.fromX, count = box.count();
        for (int i = lane.thread; count < Met::Pixels && i < Met::Pixels * 4; i += threads) {
            Met m(i / 4);
            if (!box.has(m.image, m.row, m.column)) met[i] = make_uint4(0, 0, 0, 0);
        }
#pragma unroll 1
        for (int first = lane.warp * 16; first - lane.warp * 16 < count; first += threads / 2) { // 16 of 32: every warp goes as far
            int spot[2];
            auto row = [&](int h) {
                int i = least(first + lane.g + 8 * h, count - 1); // beyond the last, that again
                int image = i / (high * wide), iy = box.fromY + i / wide % high, ix = box.fromX + i % wide;
                spot[h] = (image * Down + iy) * Across + ix;
                return Left(x, b, taps, tile.image + image, top + iy, left + ix);
            };
            Left upper = row(0), lower = row(1);
            float d[Fragments][4];
            for (int f = 0; f < Fragments; f++) d[f][0] = d[f][1] = d[f][2] = d[f][3] = 0;
#pragma unroll 1
            for (int k = 2 * lane.q; k < whole; k += 16) {
                Pair a[4] = {upper.pair(k), lower.pair(k), upper.pair(k + 8), lower.pair(k + 8)};
#pragma unroll
                for (int f = 0; f < Fragments; f++) {
                    const Pair* column = weights + (f * 8 + lane.g) * WeightsApart + k / 2;
                    Pair right[2] = {column[0], column[4]};
                    multiplyAdd16(d[f], a, right);
                }
            }
#pragma unroll
            for (int f = 0; f < Fragments; f++) {
                int n = f * 8 + 2 * lane.q;
                for (int h = 0; h < 2; h++) {
                    if (first + lane.g + 8 * h >= count) continue;
                    *(Pair*)((Map*)met + spot[h] * Group + n) = narrow(activate(act1, d[f][2 * h] + level[n]), activate(act1, d[f][2 * h + 1] + level[n + 1]));
                }
            }
        }
    });
}

extern "C" __global__ void expandDepthwise3(const Map* x, const Map* w1, const float* bias1, const float* w, const float* bias, Map* y, float* sums,
                                            Shape b, Shape s, int parts, float scale, int act1, int act) {
    expandDepthwise<Pointwise, 3, 1, 1, 14, 14, 7, 288>(x, w1, bias1, w, bias, y, sums, b, s, parts, scale, act1, act);
}

extern "C" __global__ void expandDepthwise3Small(const Map* x, const Map* w1, const float* bias1, const float* w, const float* bias, Map* y, float* sums,
                                                 Shape b, Shape s, int parts, float scale, int act1, int act) {
    expandDepthwise<Pointwise, 3, 1, 4, 7, 7, 7, 288>(x, w1, bias1, w, bias, y, sums, b, s, parts, scale, act1, act);
}

extern "C" __global__ void expandDepthwise3Stride2(const Map* x, const Map* w1, const float* bias1, const float* w, const float* bias, Map* y, float* sums,
                                                   Shape b, Shape s, int parts, float scale, int act1, int act) {
    expandDepthwise<Pointwise, 3, 2, 1, 4, 14, 2, 288>(x, w1, bias1, w, bias, y, sums, b, s, parts, scale, act1, act);
}

extern "C" __global__ void expandDepthwise5(const Map* x, const Map* w1, const float* bias1, const float* w, const float* bias, Map* y, float* sums,
                                            Shape b, Shape s, int parts, float scale, int act1, int act) {
    expandDepthwise<Pointwise, 5, 1, 1, 14, 14, 7, 288>(x, w1, bias1, w, bias, y, sums, b, s, parts, scale, act1, act);
}

extern "C" __global__ void expandDepthwise5Small(const Map* x, const Map* w1, const float* bias1, const float* w, const float* bias, Map* y, float* sums,
                                                 Shape b, Shape s, int parts, float scale, int act1, int act) {
    expandDepthwise<Pointwise, 5, 1, 4, 7, 7, 7, 192>(x, w1, bias1, w, bias, y, sums, b, s, parts, scale, act1, act);
}

extern "C" __global__ void expandDepthwise5Stride2(const Map* x, const Map* w1, const float* bias1, const float* w, const float* bias, Map* y, float* sums,
                                                   Shape b, Shape s, int parts, float scale, int act1, int act) {
    expandDepthwise<Pointwise, 5, 2, 1, 4, 14, 2, 288>(x, w1, bias1, w, bias, y, sums, b, s, parts, scale, act1, act);
}

extern "C" __global__ void stemDepthwise3(const Map* x, const Map* w1, const float* bias1, const float* w, const float* bias, Map* y, float* sums,
                                          Shape b, Shape s, int parts, float scale, int act1, int act) {
    expandDepthwise<Windowed, 3, 1, 1, 14, 14, 7, 32>(x, w1, bias1, w, bias, y, sums, b, s, parts, scale, act1, act);
}
