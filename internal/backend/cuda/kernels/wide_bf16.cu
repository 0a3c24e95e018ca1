// wideGrad is what an ExpandGrad of more channels than expandGrad's has before its weights'
// gradient: dc [M,N], what the normalisation of c sends back of dy (see GradNorm), and dx
// [M,K] = dc·w', of w [K,N]. K and N are multiples of 8. The weights' gradient is a product
// of its own, which reads dc. blockIdx.x is part, block of columns of dx, the last fastest;
// the first of a part's writes dc. Launch: ProductThreads threads.
extern "C" __global__ void wideGrad(const float* w, const Map* c, const float* stats, const float* gamma, const float* beta, const Map* dy, const float* sums,
                                    Map* dc, Map* dx, Size M, int N, int K, int parts, float eps, int act) {
    constexpr int Fragments = BN / 8, Vectors = BM * BK / 8 / ProductThreads, Weights = BN * Inner / ProductThreads, Out = BN / 2 + 4;
    __shared__ uint4 memory[(BM + BN) * Apart / 4];
    __shared__ float constants[2][5][BK]; // of GradNorm, of this step and the next
    static_assert(sizeof memory >= BM * Out * sizeof(Pair), "no room for results");
    Pair *a = (Pair*)memory, *b = a + BM * Apart, *result = (Pair*)memory;
    Lane lane;
    int over = blocksOf(K, BN), k0 = blockIdx.x % over * BN;
    Size part = blockIdx.x / over, tiles = (M + BM - 1) / BM;
    for (Size tile = tiles * part / parts; tile < tiles * (part + 1) / parts; tile++) {
        Size m0 = tile * BM;
        uint4 values[Vectors], grads[Vectors];
        auto fetch = [&](int n0) { // what the step from n0 on needs of the maps, while the one before multiplies
#pragma unroll
            for (int i = 0; i < Vectors; i++) {
                int at = lane.thread + i * ProductThreads, n = n0 + at % (BK / 8) * 8;
                Size m = m0 + at / (BK / 8);
                values[i] = grads[i] = make_uint4(0, 0, 0, 0);
                if (m < M && n < N) values[i] = *(const uint4*)(c + m * N + n), grads[i] = *(const uint4*)(dy + m * N + n);
            }
            if (lane.thread < BK && n0 + lane.thread < N) {
                int n = n0 + lane.thread;
                GradNorm<1> g = gradNorm<1>(loadNorm<1>(stats, gamma, beta, N, n, eps), sums, M, N, n);
                float(*to)[BK] = constants[n0 / BK % 2];
                to[0][lane.thread] = g.n.scale.v[0], to[1][lane.thread] = g.n.shift.v[0], to[2][lane.thread] = g.mean.v[0];
                to[3][lane.thread] = g.slant.v[0], to[4][lane.thread] = g.level.v[0];
            }
        };
        auto put = [&](int n0) { // as the product takes it
            const float(*of)[BK] = constants[n0 / BK % 2];
#pragma unroll
            for (int i = 0; i < Vectors; i++) {
                int at = lane.thread + i * ProductThreads, column = at % (BK / 8) * 8;
                Size m = m0 + at / (BK / 8);
                Pair seen[4] = {values[i].x, values[i].y, values[i].z, values[i].w}, back[4] = {grads[i].x, grads[i].y, grads[i].z, grads[i].w};
#pragma unroll
                for (int p = 0; p < 4; p++) {
                    float d[2];
#pragma unroll
                    for (int j = 0; j < 2; j++) {
                        int n = column + 2 * p + j;
                        float v = widen(j ? seen[p] >> 16 : seen[p] & 0xffff), dz = widen(j ? back[p] >> 16 : back[p] & 0xffff) * slope(act, v * of[0][n] + of[1][n]);
                        d[j] = of[0][n] * dz + (of[3][n] * (v - of[2][n]) + of[4][n]);
                    }
                    back[p] = narrow(d[0], d[1]);
                }
                bool inside = m < M && n0 + column < N;
                uint4 all = inside ? make_uint4(back[0], back[1], back[2], back[3]) : make_uint4(0, 0, 0, 0);
                *(uint4*)(a + at / (BK / 8) * Apart + column / 2) = all;
                if (inside && k0 == 0) *(uint4*)(dc + m * N + n0 + column) = all;
            }
#pragma unroll
            for (int i = 0; i < Weights; i++) {
                int at = lane.thread + i * ProductThreads, k = k0 + at / Inner, n = n0 + at % Inner * 2;
                const float* from = w + (Size)k * N + n;
                b[at / Inner * Apart + at % Inner] = k < K && n < N ? narrow(from[0], from[1]) : 0;
            }
        };
        float products[Fragments][4];
        for (int f = 0; f < Fragments; f++) products[f][0] = products[f][1] = products[f][2] = products[f][3] = 0;
        fetch(0);
        for (int n0 = 0; n0 < N; n0 += BK) {
            __syncthreads(); // the constants are there, and what was before is done
            put(n0);
            __syncthreads();
            if (n0 + BK < N) fetch(n0 + BK);
            multiplyTile<Fragments>(lane, a, b, products);
        }
        __syncthreads();
#pragma unroll
        for (int f = 0; f < Fragments; f++) {
            Pair* to = result + (lane.warp * 16 + lane.g) * Out + f * 4 + lane.q;
            to[0] = narrow(products[f][0], products[f][1]), to[8 * Out] = narrow(products[f][2], products[f][3]);
        }
        __syncthreads();
#pragma unroll 1
        for (int at = lane.thread; at < BM * BN / 8; at += ProductThreads) {
            int row = at / (BN / 8), k = k0 + at % (BN / 8) * 8;
            if (m0 + row < M && k < K) *(uint4*)(dx + (m0 + row) * K + k) = *(uint4*)(result + row * Out + at % (BN / 8) * 4);
        }
    }
}
