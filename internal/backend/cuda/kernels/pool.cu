// Max pooling.

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
