// Convolutions of one channel each, and windows.

// pixel is the index of pixel (y,x) of image n of a map [N,H,W,C], channel 0.
__device__ inline Size pixel(Size n, int y, int x, int H, int W, int C) { return ((n * H + y) * W + x) * C; }

// Place is where a row of a map [N,H,W,...] lies.
struct Place {
    Size n;
    int y, x;
};

__device__ inline Place placeOf(Size row, int H, int W) {
    Place p;
    p.x = (int)(row % W);
    p.y = (int)(row / W % H);
    p.n = row / W / H;
    return p;
}

// depthwise: y[n,i,j,c] = sum over a, b of x[n, i*Stride-Top+a, j*Stride-Left+b, c]*w[a,b,c].
// Launch: channels by output pixels.
extern "C" __global__ void depthwise(const Map* x, const float* w, Map* y, Shape s, int vec) {
    channels(vec, s.In, [=](int c, auto width) {
        constexpr int V = decltype(width)::V;
        Size rows = (Size)s.N * s.OutH * s.OutW;
        for (Size r = firstRow(); r < rows; r += rowStep()) {
            Place p = placeOf(r, s.OutH, s.OutW);
            Vec<V> sum = zero<V>();
            for (int a = 0; a < s.Kernel; a++) {
                int iy = p.y * s.Stride - s.Top + a;
                if (iy < 0 || iy >= s.H) continue;
                for (int b = 0; b < s.Kernel; b++) {
                    int ix = p.x * s.Stride - s.Left + b;
                    if (ix < 0 || ix >= s.W) continue;
                    Vec<V> v = load<V>(x + pixel(p.n, iy, ix, s.H, s.W, s.In) + c), f = load<V>(w + (a * s.Kernel + b) * s.In + c);
                    for (int i = 0; i < V; i++) sum.v[i] += v.v[i] * f.v[i];
                }
            }
            store<V>(y + r * s.In + c, sum);
        }
    });
}

// output is the output row that meets input row y at tap a of a filter, or -1.
__device__ inline int output(int y, int a, int before, int stride, int count) {
    int t = y + before - a;
    if (t < 0 || t % stride != 0 || t / stride >= count) return -1;
    return t / stride;
}

// depthwiseGradInput: dx = the sum of dy*w over the outputs that a pixel is in.
// Launch: channels by input pixels.
extern "C" __global__ void depthwiseGradInput(const Map* dy, const float* w, Map* dx, Shape s, int vec) {
    channels(vec, s.In, [=](int c, auto width) {
        constexpr int V = decltype(width)::V;
        Size rows = (Size)s.N * s.H * s.W;
        for (Size r = firstRow(); r < rows; r += rowStep()) {
            Place p = placeOf(r, s.H, s.W);
            Vec<V> sum = zero<V>();
            for (int a = 0; a < s.Kernel; a++) {
                int i = output(p.y, a, s.Top, s.Stride, s.OutH);
                if (i < 0) continue;
                for (int b = 0; b < s.Kernel; b++) {
                    int j = output(p.x, b, s.Left, s.Stride, s.OutW);
                    if (j < 0) continue;
                    Vec<V> d = load<V>(dy + pixel(p.n, i, j, s.OutH, s.OutW, s.In) + c), f = load<V>(w + (a * s.Kernel + b) * s.In + c);
                    for (int k = 0; k < V; k++) sum.v[k] += d.v[k] * f.v[k];
                }
            }
            store<V>(dx + r * s.In + c, sum);
        }
    });
}

// depthwiseGradWeight: dw[a,b,c] = sum over the outputs of x*dy. Launch: as
// reduce's, of one segment of the output's pixels; blockIdx.z is a group of Q
// neighbouring taps, whose parts [parts,Q,C] follow those of the group before.
template <int Q>
__device__ inline void depthwiseTaps(const Map* x, const Map* dy, float* out, Shape s, int parts, int vec) {
    Size rows = (Size)s.N * s.OutH * s.OutW;
    int first = blockIdx.z * Q;
    reduce<Q>(vec, 1, rows, parts, s.In, 1, out + (Size)blockIdx.z * parts * Q * s.In, [=](int c, auto width) {
        constexpr int V = decltype(width)::V;
        return [=](Size r, Vec<V>* sums) {
            Place p = placeOf(r, s.OutH, s.OutW);
            Vec<V> d = load<V>(dy + r * s.In + c);
            for (int q = 0; q < Q; q++) {
                int iy = p.y * s.Stride - s.Top + (first + q) / s.Kernel, ix = p.x * s.Stride - s.Left + (first + q) % s.Kernel;
                if (iy < 0 || iy >= s.H || ix < 0 || ix >= s.W) continue;
                Vec<V> v = load<V>(x + pixel(p.n, iy, ix, s.H, s.W, s.In) + c);
                for (int i = 0; i < V; i++) sums[q].v[i] += v.v[i] * d.v[i];
            }
        };
    });
}

extern "C" __global__ void depthwiseGradWeight(const Map* x, const Map* dy, float* out, Shape s, int parts, int group, int vec) {
    switch (group) {
    case 3: depthwiseTaps<3>(x, dy, out, s, parts, vec); break;
    case 5: depthwiseTaps<5>(x, dy, out, s, parts, vec); break;
    default: depthwiseTaps<1>(x, dy, out, s, parts, vec);
    }
}

// larger says whether v comes before best as the largest of a window. A NaN is the
// largest, and of equal values the first.
__device__ inline bool larger(float v, float best) { return v > best || (v != v && best == best); }

// maxPool: the largest of each window. Launch: channels by output pixels, one
// channel a thread.
extern "C" __global__ void maxPool(const Map* x, Map* y, Shape s) {
    channels(1, s.In, [=](int c, auto) {
        Size rows = (Size)s.N * s.OutH * s.OutW;
        for (Size r = firstRow(); r < rows; r += rowStep()) {
            Place p = placeOf(r, s.OutH, s.OutW);
            bool any = false;
            float best = 0;
            for (int a = 0; a < s.Kernel; a++) {
                for (int b = 0; b < s.Kernel; b++) {
                    int iy = p.y * s.Stride - s.Top + a, ix = p.x * s.Stride - s.Left + b;
                    if (iy < 0 || iy >= s.H || ix < 0 || ix >= s.W) continue;
                    float v = load<1>(x + pixel(p.n, iy, ix, s.H, s.W, s.In) + c).v[0];
                    if (!any || larger(v, best)) best = v;
                    any = true;
                }
            }
            store<1>(y + r * s.In + c, Vec<1>{{best}});
        }
    });
}

// isLargest says whether pixel (y,x) is the first largest of window (i,j).
__device__ inline bool isLargest(const Map* x, Shape s, Size n, int i, int j, int c, int y, int px) {
    int besty = -1, bestx = -1;
    float best = 0;
    for (int a = 0; a < s.Kernel; a++) {
        for (int b = 0; b < s.Kernel; b++) {
            int iy = i * s.Stride - s.Top + a, ix = j * s.Stride - s.Left + b;
            if (iy < 0 || iy >= s.H || ix < 0 || ix >= s.W) continue;
            float v = load<1>(x + pixel(n, iy, ix, s.H, s.W, s.In) + c).v[0];
            if (besty < 0 || larger(v, best)) best = v, besty = iy, bestx = ix;
        }
    }
    return besty == y && bestx == px;
}

// maxPoolGrad: dx = the sum of dy over the windows whose largest a pixel is.
// Launch: channels by input pixels, one channel a thread.
extern "C" __global__ void maxPoolGrad(const Map* x, const Map* dy, Map* dx, Shape s) {
    channels(1, s.In, [=](int c, auto) {
        Size rows = (Size)s.N * s.H * s.W;
        for (Size r = firstRow(); r < rows; r += rowStep()) {
            Place p = placeOf(r, s.H, s.W);
            float sum = 0;
            for (int a = 0; a < s.Kernel; a++) {
                int i = output(p.y, a, s.Top, s.Stride, s.OutH);
                if (i < 0) continue;
                for (int b = 0; b < s.Kernel; b++) {
                    int j = output(p.x, b, s.Left, s.Stride, s.OutW);
                    if (j >= 0 && isLargest(x, s, p.n, i, j, c, p.y, p.x)) sum += load<1>(dy + pixel(p.n, i, j, s.OutH, s.OutW, s.In) + c).v[0];
                }
            }
            store<1>(dx + r * s.In + c, Vec<1>{{sum}});
        }
    });
}
