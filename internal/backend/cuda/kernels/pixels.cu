// 8-bit pixels as network input.

// pixels is backend.Pixels, of images of side x side pixels; with vec 4 their bytes are
// a multiple of 4. Launch: flat along an image; blockIdx.y, and every gridDim.y-th
// after it, is the image.
extern "C" __global__ void pixels(const unsigned char* x, const float* table, const float* mix, Map* y, int N, int side, int vec) {
    __shared__ float values[3 * 256];
    for (int i = threadIdx.x; i < 3 * 256; i += blockDim.x) values[i] = table[i];
    __syncthreads();
    int count = (int)mix[0], size = side * side * 3;
    int left = (int)mix[3], top = (int)mix[4], right = (int)mix[5], bottom = (int)mix[6];
    float mine = mix[1], theirs = mix[2];
    for (int n = blockIdx.y; n < N; n += gridDim.y) {
        const unsigned char *own = x + (Size)n * size, *other = x + (Size)(count - 1 - n) * size;
        each(vec, size, [=](Size at, auto width) {
            constexpr int V = decltype(width)::V;
            Vec<V> r;
            for (int k = 0; k < V; k++) {
                int i = (int)at + k, pixel = i / 3, column = pixel % side, row = pixel / side;
                const float* t = values + 256 * (i - 3 * pixel);
                if (n >= count) {
                    r.v[k] = 0;
                } else if (column >= left && column < right && row >= top && row < bottom) {
                    r.v[k] = t[other[i]];
                } else if (theirs == 0) {
                    r.v[k] = t[own[i]];
                } else {
                    r.v[k] = __fadd_rn(__fmul_rn(mine, t[own[i]]), __fmul_rn(theirs, t[other[i]]));
                }
            }
            store<V>(y + (Size)n * size + at, r);
        });
    }
}
