// Depthwise convolutions on lines: 16 channels of a pixel, one cache line. The rows that a
// filter meets lie in a ring in L1, each of its pixels a line, with zeros at both ends. The
// definitions are in lines.go.
#include "act.h"

#define NV (16 / L) // vectors of a line
#define EACH UNROLLED for (int j = 0; j < NV; j++)

typedef struct { long rows, row; } ring; // Ring in lines.go

// FILL writes VALUE(v) of the lines at x to rows of the ring, and fetches what lies ahead
// values on.
#define FILL(X, VALUE) \
  const ring *to = a->to; \
  long at = a->first % to->rows; \
  const X *x0 = a->x; \
  for (long r = a->count; r > 0; r--, x0 += a->xrow) { \
    float *y = a->ring + at * to->row; \
    const X *x = x0; \
    const long step = a->xstep, ahead = a->ahead; \
    ROLLED for (long p = a->pixels; p > 0; p--, x += step, y += 16) { \
      __builtin_prefetch(x + ahead, 0, 3); \
      EACH { const V v = load(x + L * j); store(y + L * j, VALUE); } \
    } \
    if (++at == to->rows) at = 0; \
  }

#define KERNEL_OF(name, X) KERNEL(name, float *ring; const ring *to; const X *x; long first, count, pixels, xstep, xrow, ahead;) { FILL(X, v) }
KERNEL_OF(copyLines, float) KERNEL_OF(copyLinesHalf, bf16)
#undef KERNEL_OF

#define KERNEL_OF(name, activation, X) \
  KERNEL(name, float *ring; const ring *to; const X *x; const float *scale, *shift; long first, count, pixels, xstep, xrow, ahead;) { \
    V scale[NV], shift[NV]; \
    EACH { scale[j] = load(a->scale + L * j); shift[j] = load(a->shift + L * j); } \
    FILL(X, activate(activation, v * scale[j] + shift[j])) \
  }
EACH_ACT(normLines, KERNEL_OF, float) EACH_ACT(normLinesHalf, KERNEL_OF, bf16)
#undef KERNEL_OF

// SUMS makes a vector of P pixels of a row of the output, from column at on: meets is the
// ring's row that the first of rows rows of the filter meets, whose weights are at w.
#define SUMS(T, K, S, P) { \
    V acc[P]; \
    UNROLLED for (int p = 0; p < P; p++) acc[p] = (V){}; \
    { \
      long row = a->meets; \
      const float *w = a->weights + L * j, *ring = a->ring + L * j + 16 * S * at; \
      ROLLED for (long r = a->rows; r > 0; r--, w += 16 * K) { \
        const float *x = ring + row * a->from->row; \
        V wv[K]; \
        UNROLLED for (int k = 0; k < K; k++) wv[k] = load(w + 16 * k); \
        UNROLLED for (int i = 0; i < (P - 1) * S + K; i++) { \
          const V v = load(x + 16 * i); \
          UNROLLED for (int k = 0; k < K; k++) \
            if (i >= k && (i - k) % S == 0 && (i - k) / S < P) acc[(i - k) / S] += v * wv[k]; \
        } \
        if (++row == a->from->rows) row = 0; \
      } \
    } \
    const long left = a->left - L * j; \
    { \
      const long ystep = a->ystep; \
      T *y = a->y + L * j + at * ystep; \
      if (a->stream) UNROLLED for (int p = 0; p < P; p++, y = moved(y, ystep)) stream(y, acc[p]); \
      else if (left >= L) UNROLLED for (int p = 0; p < P; p++, y = moved(y, ystep)) store(y, acc[p]); \
      else if (left > 0) UNROLLED for (int p = 0; p < P; p++, y = moved(y, ystep)) storeFirst(y, acc[p], left); \
    } \
    float *stats = a->stats; \
    if (stats) { \
      stats += L * j; \
      const long skip = a->skip; \
      V s = (V){}, q = s; \
      UNROLLED for (int p = 0; p < P; p++) if (p >= skip) { const V d = acc[p] - load(again(stats)); s += d; q += d * d; DONE(s); DONE(q); } \
      stats = moved(stats, a->sumsAt); \
      storeSome(stats, load(stats) + s, left); \
      stats = moved(stats, a->sumsAt); \
      storeSome(stats, load(stats) + q, left); \
    } \
  }

// BLOCKS does a row in blocks of P pixels. The last block overlaps the one before it,
// and its first skip pixels are not summed again.
#define BLOCKS(T, K, S, P) { \
    a->skip = 0; \
    for (long at = 0;;) { \
      SUMS(T, K, S, P) \
      const long done = at + P, last = a->pixels - P; \
      if (at == last) break; \
      at = done < last ? done : last; \
      a->skip = done - at; \
    } \
  }

// LINES computes count rows of the output from row first on; y is where they begin. The
// last four arguments are its own.
#define LINES(name, T, K, S) \
  KERNEL(name, T *y; const float *ring; const ring *from; const float *w; long first, count, top, height, pixels, ystep, yrow, left, stream; float *stats; long sumsAt; const float *weights; long rows, meets, skip;) { \
    for (; a->count > 0; a->count--, a->first++, a->y += a->yrow) { \
      { \
        long ih = a->first * S - a->top, rows = K; \
        const float *w = a->w; \
        if (ih < 0) { rows += ih; w -= 16 * K * ih; ih = 0; } \
        const long below = a->height - ih; \
        a->rows = rows < below ? rows : below; \
        a->weights = w; \
        a->meets = ih % a->from->rows; \
      } \
      for (int j = 0; j < NV; j++) { \
        if (L != 8 && a->pixels >= 14) BLOCKS(T, K, S, 14) \
        else if (a->pixels >= 7) BLOCKS(T, K, S, 7) \
        else if (a->pixels >= 4) BLOCKS(T, K, S, 4) \
        else BLOCKS(T, K, S, 1) \
      } \
    } \
  }

#define KERNEL_OF(K, S) LINES(lines##K##x##S, float, K, S) LINES(lines##K##x##S##Half, bf16, K, S)
KERNEL_OF(3, 1) KERNEL_OF(3, 2) KERNEL_OF(5, 1) KERNEL_OF(5, 2)
