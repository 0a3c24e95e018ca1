// Dense convolutions as matrix products: the input's patches as rows.

// gather: columns[(n,i,j),(a,b,c)] = x[n, i*Stride-Top+a, j*Stride-Left+b, c], 0
// outside the image, in rows that begin apart values after each other. What lies
// between them is not written. Launch: flat over the patches' values.
extern "C" __global__ void gather(const Map* x, Map* columns, Shape s, int apart, int vec) {
    Size taps = (Size)s.Kernel * s.Kernel, n = (Size)s.N * s.OutH * s.OutW * taps * s.In;
    each(vec, n, [=](Size at, auto width) {
        constexpr int V = decltype(width)::V;
        int c = (int)(at % s.In), tap = (int)(at / s.In % taps);
        Place p = placeOf(at / s.In / taps, s.OutH, s.OutW);
        int iy = p.y * s.Stride - s.Top + tap / s.Kernel, ix = p.x * s.Stride - s.Left + tap % s.Kernel;
        bool inside = iy >= 0 && iy < s.H && ix >= 0 && ix < s.W;
        Size row = at / (taps * s.In);
        store<V>(columns + row * apart + (at - row * taps * s.In), inside ? load<V>(x + pixel(p.n, iy, ix, s.H, s.W, s.In) + c) : zero<V>());
    });
}

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
