// Matrix products. The definitions are in gemm.go.
#include "vec.h"

typedef float H __attribute__((ext_vector_type(L / 2))); // half a vector
typedef float HU __attribute__((ext_vector_type(L / 2), aligned(4), may_alias));

enum { ADD = 1, STREAM = 2, HALF = 4 }; // how a product is stored: gemm.go

// GEMM(KIND, MR, NV, NH) is a product with panels of NV vectors and NH half vectors of columns:
//
//	c[i*ldc+j] = sum over k of a[i*ars+l*acs] * b[l*N+j]   for i in 0..m, j in 0..cols
//
// or, with ADD, c[...] += the sum, where N is the columns of a panel. MR rows of c at a
// time stay in registers while k runs; the rows left at the end go by 8, 4, 2 and 1.
// Each value is a sum in the order of k, whatever the rows beside it.
//
// Unless stats is null it holds pivots, and sumsAt and twice that further on sums of the
// columns' differences from them and of their squares, to which c's are added. With STREAM
// c goes past the caches. The line at ahead, and every k on the one aheadStep bytes on, is
// fetched meanwhile.
//
// Kinds differ in what a and b hold, and in STEP, which adds one value of k. gemm is of
// floats, pairs of bf16: a word is a pair of neighbours along k, and their products are
// added one after the other, the second (upper) first, as VDPBF16PS does. Where that is
// there, c may be bf16 too (HALF); then nothing is added to it.
#define GEMM(KIND, MR, NV, NH) \
  KERNEL(KIND##MR##x##NV##x##NH, float *c; const float *a, *b; long m, k, ars, acs, ldc, cols, how; float *stats; long sumsAt; const char *ahead; long aheadStep;) { \
    long i = 0; \
    const char *ahead = a->ahead; \
    for (; a->m - i >= MR; i += MR) TILE(KIND, MR, NV, NH) \
    if (MR > 8 && a->m - i >= 8) { TILE(KIND, 8, NV, NH) i += 8; } \
    if (MR > 4 && a->m - i >= 4) { TILE(KIND, 4, NV, NH) i += 4; } \
    if (a->m - i >= 2) { TILE(KIND, 2, NV, NH) i += 2; } \
    if (a->m - i >= 1) TILE(KIND, 1, NV, NH) \
  }

#define FETCH __builtin_prefetch(ahead, 0, 3); ahead += step;

#define STEP_gemm(R, NV, NH) \
  FETCH \
  UNROLLED for (int j = 0; j < NV; j++) bv[j] = load(b + L * j); \
  if (NH) bh = *(const HU *)(b + L * NV); \
  UNROLLED for (int r = 0; r < R; r++) { \
    const float x = p[r * ars]; \
    UNROLLED for (int j = 0; j < NV; j++) acc[r][j] += x * bv[j]; \
    if (NH) half[r] += x * bh; \
    if (L == 8) __asm__ volatile("" ::: "memory"); /* the next row's value comes in the same register */ \
  }

#if defined(__AVX512BF16__)
#define STEP_pairs(R, NV, NH) \
  FETCH \
  UNROLLED for (int j = 0; j < NV; j++) bv[j] = load(b + L * j); \
  if (NH) bh = *(const HU *)(b + L * NV); \
  UNROLLED for (int r = 0; r < R; r++) { \
    const float x = p[r * ars]; \
    UNROLLED for (int j = 0; j < NV; j++) acc[r][j] = (V)_mm512_dpbf16_ps((__m512)acc[r][j], (__m512bh)splat(x), (__m512bh)bv[j]); \
    if (NH) half[r] = (H)_mm256_dpbf16_ps((__m256)half[r], (__m256bh)(H)x, (__m256bh)bh); \
  }
#else
// Of each part of a pair a float is made: the upper half of the word is one, but for what is
// below it.
#define STEP_pairs(R, NV, NH) \
  (void)ahead; \
  (void)step; \
  ROLLED for (int shift = 0; shift <= 16; shift += 16) { \
    const VW by = (VW)shift; \
    __asm__ volatile("" ::: "memory"); /* what is loaded is loaded again for the other part */ \
    UNROLLED for (int j = 0; j < NV; j++) bv[j] = ofPair(load(b + L * j), by); \
    if (NH) bh = ofPair(widened(*(const HU *)(b + L * NV)), by).lo; \
    UNROLLED for (int r = 0; r < R; r++) { \
      const V x = ofPair(splat(p[r * ars]), by); \
      UNROLLED for (int j = 0; j < NV; j++) acc[r][j] += x * bv[j]; \
      if (NH) half[r] += x.lo * bh; \
      if (L == 8) __asm__ volatile("" ::: "memory"); \
    } \
  }

INLINE V ofPair(V words, VW shift) { return (V)((VW)words << shift & 0xffff0000u); }
#endif

#define TILE(KIND, R, NV, NH) { \
    V acc[R][NV + 1]; H half[R]; \
    UNROLLED for (int r = 0; r < R; r++) { UNROLLED for (int j = 0; j < NV; j++) acc[r][j] = (V){}; half[r] = (H){}; } \
    { \
      const long ars = a->ars, acs = a->acs, step = a->aheadStep; \
      const float *p = a->a + same(i) * ars, *b = a->b; \
      ROLLED for (long k = a->k; k > 0; k--, p += acs, b += L * NV + L / 2 * NH) { \
        V bv[NV + 1]; H bh = {}; \
        STEP_##KIND(R, NV, NH) \
      } \
    } \
    float *c = a->c + same(i) * a->ldc; \
    const long cols = a->cols; \
    if (a->how & ADD) \
      UNROLLED for (int r = 0; r < R; r++, c = moved(c, a->ldc)) { \
        UNROLLED for (int j = 0; j < NV; j++) acc[r][j] += load(c + L * j); \
        if (NH) half[r] += *(const HU *)(c + L * NV); \
      } \
    float *stats = a->stats; \
    if (stats) { \
      const long at = a->sumsAt; \
      UNROLLED for (int j = 0; j < NV; j++, stats += L) { \
        V s = (V){}, q = s; \
        UNROLLED for (int r = 0; r < R; r++) { \
          const V d = acc[r][j] - load(again(stats)); \
          s += d; \
          q += d * d; \
          DONE(s); \
          DONE(q); \
        } \
        storeSome(stats + at, load(stats + at) + s, cols - L * j); \
        storeSome(stats + 2 * at, load(stats + 2 * at) + q, cols - L * j); \
      } \
      if (NH) { \
        H s = (H){}, q = s, pivot = *(const HU *)stats; \
        UNROLLED for (int r = 0; r < R; r++) { \
          const H d = half[r] - pivot; \
          s += d; \
          q += d * d; \
          DONE(s); \
          DONE(q); \
        } \
        storeSome(stats + at, load(stats + at) + widened(s), halfLeft(cols - L * NV)); \
        storeSome(stats + 2 * at, load(stats + 2 * at) + widened(q), halfLeft(cols - L * NV)); \
      } \
    } \
    if (KIND##_ == pairs_ && STORES_HALF && a->how & HALF) STORE(bf16, R, NV, NH) \
    else STORE(float, R, NV, NH) \
  }

enum { gemm_, pairs_ };
#if defined(__AVX512BF16__)
#define STORES_HALF 1
#else
#define STORES_HALF 0
#endif

// STORE stores a tile in c, of values of type T.
#define STORE(T, R, NV, NH) { \
    T *c = (T *)a->c + same(i) * a->ldc; \
    const long cols = a->cols; \
    if (a->how & STREAM) \
      UNROLLED for (int r = 0; r < R; r++, c = moved(c, a->ldc)) { \
        UNROLLED for (int j = 0; j < NV; j++) stream(c + L * j, acc[r][j]); \
        if (NH) storeLower(c + L * NV, half[r]); \
      } \
    else if (cols == L * NV + L / 2 * NH) \
      UNROLLED for (int r = 0; r < R; r++, c = moved(c, a->ldc)) { \
        UNROLLED for (int j = 0; j < NV; j++) store(c + L * j, acc[r][j]); \
        if (NH) storeLower(c + L * NV, half[r]); \
      } \
    else \
      UNROLLED for (int r = 0; r < R; r++, c = moved(c, a->ldc)) { \
        UNROLLED for (int j = 0; j < NV; j++) storeSome(c + L * j, acc[r][j], cols - L * j); \
        if (NH && cols > L * NV) storeFirst(c + L * NV, widened(half[r]), cols - L * NV); \
      } \
  }

// halfLeft is how many of left values there are in half a vector.
INLINE long halfLeft(long left) { return left < L / 2 ? left : L / 2; }

// widened is h and as many zeros.
INLINE V widened(H h) {
  V v = {};
  v.lo = h;
  return v;
}

INLINE void storeLower(float *p, H h) { *(HU *)p = h; }
INLINE void storeLower(bf16 *p, H h) {
  typedef bf16 HB __attribute__((ext_vector_type(L / 2), aligned(2), may_alias));
  *(HB *)p = narrowed(widened(h)).lo;
}

#if L == 16
#define TILES(KIND) GEMM(KIND, 6, 4, 0) GEMM(KIND, 8, 3, 0) GEMM(KIND, 8, 2, 1) GEMM(KIND, 12, 2, 0) GEMM(KIND, 12, 1, 1) GEMM(KIND, 12, 1, 0) GEMM(KIND, 12, 0, 1)
TILES(gemm)
#if defined(__AVX512BF16__)
TILES(pairs)
#else
GEMM(pairs, 6, 4, 0) GEMM(pairs, 8, 3, 0) GEMM(pairs, 8, 2, 0) GEMM(pairs, 8, 1, 0) GEMM(pairs, 8, 0, 1)
#endif
#elif L == 8
GEMM(gemm, 6, 2, 0) GEMM(gemm, 4, 3, 0) GEMM(gemm, 8, 1, 0)
GEMM(pairs, 4, 2, 0) GEMM(pairs, 8, 1, 0)
#else
#define TILES(KIND) GEMM(KIND, 6, 4, 0) GEMM(KIND, 8, 3, 0) GEMM(KIND, 12, 2, 0) GEMM(KIND, 12, 1, 0)
TILES(gemm) TILES(pairs)
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

// zipRows makes rows of pairs of two rows of x each: a pair's first value is the upper
// row's. The last pair of an odd number of rows has zeros.
KERNEL(zipRows, float *y; const bf16 *x; long ldy, stride, rows, cols;) {
  ROLLED for (; a->rows > 0; a->rows -= 2, a->y += a->ldy, a->x += 2 * a->stride) {
    float *y = a->y; const bf16 *x = a->x, *next = x + a->stride;
    const long cols = a->cols;
    const VW keep_ = (VW)(a->rows > 1 ? 0xffff0000u : 0u);
    if (a->rows == 1) next = x;
    long i = 0;
#define BODY(n) keep(y + i, (V)((VW)load(next + i) & keep_ | (VW)load(x + i) >> 16), n);
    ROLLED for (; i + L <= cols; i += L) BODY(L)
    if (i < cols) BODY(cols - i)
#undef BODY
  }
}
