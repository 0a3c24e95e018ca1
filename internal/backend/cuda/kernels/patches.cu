// Dense convolutions as matrix products: the input's patches as rows.

// gather: columns[(n,i,j),(a,b,c)] = x[n, i*Stride-Top+a, j*Stride-Left+b, c], 0
// outside the image, in rows that begin apart values after each other. What lies
// between them is not written. Index is a type that counts the patches' values.
template <class Index>
__device__ inline void gatherBy(const Map* x, Map* columns, Shape s, int apart, int vec, Index n) {
    each(vec, n, [=](Size i, auto width) {
        constexpr int V = decltype(width)::V;
        Index at = (Index)i, values = s.Kernel * s.Kernel * s.In, row = at / values;
        int inRow = (int)(at - row * values), tap = inRow / s.In, c = inRow - tap * s.In;
        Index line = row / s.OutW, image = line / s.OutH;
        int iy = (int)(line - image * s.OutH) * s.Stride - s.Top + tap / s.Kernel, ix = (int)(row - line * s.OutW) * s.Stride - s.Left + tap % s.Kernel;
        bool inside = iy >= 0 && iy < s.H && ix >= 0 && ix < s.W;
        store<V>(columns + (Size)row * apart + inRow, inside ? load<V>(x + pixel(image, iy, ix, s.H, s.W, s.In) + c) : zero<V>());
    });
}

// Launch: flat over the patches' values. Divisions of 64 bits take many times as long as
// those of 32.
extern "C" __global__ void gather(const Map* x, Map* columns, Shape s, int apart, int vec) {
    Size n = (Size)s.N * s.OutH * s.OutW * s.Kernel * s.Kernel * s.In;
    if (n >> 31) {
        gatherBy<Size>(x, columns, s, apart, vec, n);
    } else {
        gatherBy<unsigned>(x, columns, s, apart, vec, (unsigned)n);
    }
}

// packTap is value k of a window: its row and column there and its channel, in 8, 8 and 16
// bits.
__device__ inline int packTap(const Shape& s, int k) { return k / s.In / s.Kernel << 24 | k / s.In % s.Kernel << 16 | k % s.In; }

// Window is the values that a result of a convolution, (y,column) of an image, is summed of.
struct Window {
    const Map* x; // the image
    int H, W, In, y, column;

    __device__ Window(const Map* x, const Shape& s, Size image, int y, int column)
        : x(x + pixel(image, 0, 0, s.H, s.W, s.In)), H(s.H), W(s.W), In(s.In), y(y * s.Stride - s.Top), column(column * s.Stride - s.Left) {}

    // at is where the value of a packed tap is; null outside the image.
    __device__ const Map* at(int tap) const {
        int iy = y + (tap >> 24), ix = column + (tap >> 16 & 0xff);
        return iy >= 0 && iy < H && ix >= 0 && ix < W ? x + (iy * W + ix) * In + (tap & 0xffff) : nullptr;
    }
};

// scatter is gather's gradient: dx = the sum of the columns that a pixel is in.
// Launch: channels by input pixels.
extern "C" __global__ void scatter(const Map* columns, Map* dx, Shape s, int vec) {
    channels(vec, s.In, [=](int c, auto width) {
        constexpr int V = decltype(width)::V;
        Size rows = (Size)s.N * s.H * s.W, taps = (Size)s.Kernel * s.Kernel;
        for (Size r = firstRow(); r < rows; r += rowStep()) {
            Place p = placeOf(r, s.H, s.W);
            Vec<V> sum = zero<V>();
            for (int a = 0; a < s.Kernel; a++) {
                int i = output(p.y, a, s.Top, s.Stride, s.OutH);
                if (i < 0) continue;
                for (int b = 0; b < s.Kernel; b++) {
                    int j = output(p.x, b, s.Left, s.Stride, s.OutW);
                    if (j < 0) continue;
                    Size row = (p.n * s.OutH + i) * s.OutW + j;
                    Vec<V> v = load<V>(columns + (row * taps + a * s.Kernel + b) * s.In + c);
                    for (int k = 0; k < V; k++) sum.v[k] += v.v[k];
                }
            }
            store<V>(dx + r * s.In + c, sum);
        }
    });
}
