// Matrix products. The definitions are in gemm.go.
#include "vec.h"

typedef float H __attribute__((ext_vector_type(L / 2))); // half a vector
typedef float HU __attribute__((ext_vector_type(L / 2), aligned(4), may_alias));

// GEMM(MR, NV, NH) is a product with panels of NV vectors and NH half vectors of columns:
//
//	c[i*ldc+j] = sum over k of a[i*ars+l*acs] * b[l*N+j]   for i in 0..m, j in 0..cols
//
// or, with add, c[...] += the sum, where N is the columns of a panel. MR rows of c at a
// time stay in registers while k runs; the rows left at the end go by 8, 4, 2 and 1.
// Each value is a sum in the order of k, whatever the rows beside it.
#define GEMM(MR, NV, NH) \
  KERNEL(gemm##MR##x##NV##x##NH, float *c; const float *a, *b; long m, k, ars, acs, ldc, cols, add;) { \
    long i = 0; \
    for (; a->m - i >= MR; i += MR) TILE(MR, NV, NH) \
    if (MR > 8 && a->m - i >= 8) { TILE(8, NV, NH) i += 8; } \
    if (MR > 4 && a->m - i >= 4) { TILE(4, NV, NH) i += 4; } \
    if (a->m - i >= 2) { TILE(2, NV, NH) i += 2; } \
    if (a->m - i >= 1) TILE(1, NV, NH) \
  }

#define TILE(R, NV, NH) { \
    V acc[R][NV + 1]; H half[R]; \
    UNROLLED for (int r = 0; r < R; r++) { UNROLLED for (int j = 0; j < NV; j++) acc[r][j] = (V){}; half[r] = (H){}; } \
    { \
      const long ars = a->ars, acs = a->acs; \
      const float *p = a->a + same(i) * ars, *b = a->b; \
      ROLLED for (long k = a->k; k > 0; k--, p += acs, b += L * NV + L / 2 * NH) { \
        V bv[NV + 1]; H bh = {}; \
        UNROLLED for (int j = 0; j < NV; j++) bv[j] = load(b + L * j); \
        if (NH) bh = *(const HU *)(b + L * NV); \
        UNROLLED for (int r = 0; r < R; r++) { \
          const float x = p[r * ars]; \
          UNROLLED for (int j = 0; j < NV; j++) acc[r][j] += x * bv[j]; \
          if (NH) half[r] += x * bh; \
          if (L == 8) __asm__ volatile("" ::: "memory"); /* the next row's value comes in the same register */ \
        } \
      } \
    } \
    float *c = a->c + i * a->ldc; \
    UNROLLED for (int r = 0; r < R; r++, c += a->ldc) { \
      const long cols = a->cols; \
      if (a->add) { \
        UNROLLED for (int j = 0; j < NV; j++) acc[r][j] += load(c + L * j); \
        if (NH) half[r] += *(const HU *)(c + L * NV); \
      } \
      if (cols == L * NV + L / 2 * NH) { \
        UNROLLED for (int j = 0; j < NV; j++) store(c + L * j, acc[r][j]); \
        if (NH) *(HU *)(c + L * NV) = half[r]; \
      } else { \
        UNROLLED for (int j = 0; j < NV; j++) storeSome(c + L * j, acc[r][j], cols - L * j); \
        if (NH && cols > L * NV) storeFirst(c + L * NV, widened(half[r]), cols - L * NV); \
      } \
    } \
  }

// widened is h and as many zeros.
INLINE V widened(H h) {
  V v = {};
  v.lo = h;
  return v;
}

#if L == 16
GEMM(6, 4, 0) GEMM(8, 3, 0) GEMM(8, 2, 1) GEMM(12, 2, 0) GEMM(12, 1, 1) GEMM(12, 1, 0) GEMM(12, 0, 1)
#elif L == 8
GEMM(6, 2, 0) GEMM(4, 3, 0) GEMM(8, 1, 0)
#else
GEMM(6, 4, 0) GEMM(8, 3, 0) GEMM(12, 2, 0) GEMM(12, 1, 0)
#endif

// packRows copies all cols columns, those after the n-th too; they are whole vectors
// and perhaps a half.
KERNEL(packRows, float *dst; const float *src; long rows, stride, cols;) {
  float *dst = a->dst; const float *src = a->src; const long stride = a->stride, cols = a->cols;
  ROLLED for (long r = a->rows; r > 0; r--, src += stride) {
    long i = cols;
    const float *from = src;
    ROLLED for (; i >= L; i -= L, dst += L, from += L) store(dst, load(from));
    if (i > 0) {
      *(HU *)dst = *(const HU *)from;
      dst += L / 2;
    }
  }
}
