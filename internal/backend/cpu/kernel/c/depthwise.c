// Depthwise convolutions and their weights' gradients over rows of pixels. The
// definitions are in depthwise.go.
#include "vec.h"

typedef struct { long x, w; } tap; // Tap in depthwise.go

// PIXELS computes P pixels of a vector of channels at c from filters' rows of K taps at
// stride S, whose pixels and weights lie cols apart: each value of x that P pixels share
// is loaded once.
#define PIXELS(K, S, P) { \
    V acc[P]; \
    UNROLLED for (int p = 0; p < P; p++) acc[p] = (V){}; \
    const float *x0 = a->x + c + at * S * a->cols, *w0 = a->w + c; \
    const tap *t = a->taps; \
    const tap *end = t + a->tapCount; \
    ROLLED for (const long cols = a->cols; t < end; t += K) { \
      const float *x = x0 + t->x, *w = w0 + t->w; \
      V wv[K]; \
      UNROLLED for (int k = 0; k < K; k++, w = again(w + cols)) wv[k] = load(w); \
      UNROLLED for (int i = 0; i < (P - 1) * S + K; i++, x += cols) { \
        const V v = load(x); \
        UNROLLED for (int k = 0; k < K; k++) \
          if (i >= k && (i - k) % S == 0 && (i - k) / S < P) acc[(i - k) / S] += v * wv[k]; \
      } \
    } \
    float *y = a->y + c + at * a->ystep; \
    const long left = a->cols - c, ystep = a->ystep; \
    UNROLLED for (int p = 0; p < P; p++, y += ystep) storeSome(y, acc[p], left); \
  }

// Blocks of 14 pixels, where that many sums stay in registers, and of 7 fit the widths of
// maps; the last block overlaps the one before it.
#define DEPTHWISE(K, S) \
  KERNEL(depthwise##K##x##S, float *y; const float *x, *w; const tap *taps; long tapCount, ystep, n, cols;) { \
    for (long c = 0; c < a->cols; c += L) { \
      long at = 0; \
      if (L != 8 && a->n >= 14) while (at < a->n) { PIXELS(K, S, 14) at = next(at + 14, a->n, 14); } \
      else if (a->n >= 7) while (at < a->n) { PIXELS(K, S, 7) at = next(at + 7, a->n, 7); } \
      else if (a->n >= 4) while (at < a->n) { PIXELS(K, S, 4) at = next(at + 4, a->n, 4); } \
      else for (; at < a->n; at++) PIXELS(K, S, 1) \
    } \
  }

// next is where the block of p pixels after at begins, n pixels in all.
INLINE long next(long at, long n, long p) { return at < n && at > n - p ? n - p : at; }

DEPTHWISE(3, 1) DEPTHWISE(3, 2) DEPTHWISE(5, 1) DEPTHWISE(5, 2)

// depthwise is for any taps: four pixels' sums share each weight.
KERNEL(depthwise, float *y; const float *x, *w; const tap *taps; long tapCount, xstep, ystep, n, cols;) {
  for (long c = 0; c < a->cols; c += L) {
    const long left = a->cols - c;
    long at = 0;
    for (; at + 4 <= a->n; at += 4) {
      V s0 = {}, s1 = {}, s2 = {}, s3 = {};
      const long xstep = a->xstep;
      const float *x0 = a->x + c + at * xstep, *w = a->w + c;
      const tap *t = a->taps;
      ROLLED for (long n = a->tapCount; n > 0; n--, t++) {
        const V v = load(w + t->w);
        const float *x = x0 + t->x;
        s0 += v * load(x);
        s1 += v * load(x + xstep);
        s2 += v * load(x + 2 * xstep);
        s3 += v * load(x + 3 * xstep);
      }
      const long ystep = a->ystep;
      float *y = a->y + c + at * ystep;
      storeSome(y, s0, left);
      storeSome(y + ystep, s1, left);
      storeSome(y + 2 * ystep, s2, left);
      storeSome(y + 3 * ystep, s3, left);
    }
    for (; at < a->n; at++) {
      V s = {};
      const float *x = a->x + c + at * a->xstep, *w = a->w + c;
      const tap *t = a->taps;
      ROLLED for (long n = a->tapCount; n > 0; n--, t++) s += load(w + t->w) * load(x + t->x);
      storeSome(a->y + c + at * a->ystep, s, left);
    }
  }
}

// ROWS adds the gradient of R rows of K taps at t, in blocks of P pixels: each gradient
// and each value of x that the taps share is loaded once.
#define ROWS(K, S, R) { \
    V acc[R][K]; \
    UNROLLED for (int r = 0; r < R; r++) UNROLLED for (int k = 0; k < K; k++) acc[r][k] = (V){}; \
    const float *x[R], *dy = a->dy + c; \
    UNROLLED for (int r = 0; r < R; r++) x[r] = a->x + c + t[r * K].x; \
    const long cols = a->cols; \
    long n = a->n, at = 0; \
    ROLLED for (; n >= 4; n -= 4) BLOCK(K, S, R, 4) \
    ROLLED for (; n > 0; n--) BLOCK(K, S, R, 1) \
    const long left = a->cols - c; \
    UNROLLED for (int r = 0; r < R; r++) { \
      float *dw = a->dw + c + t[r * K].w; \
      UNROLLED for (int k = 0; k < K; k++, dw += a->cols) storeSome(dw, load(dw) + acc[r][k], left); \
    } \
  }

#define BLOCK(K, S, R, P) { \
    V g[P]; \
    UNROLLED for (int p = 0; p < P; p++, dy = again(dy + cols)) g[p] = load(dy); \
    UNROLLED for (int i = 0; i < (P - 1) * S + K; i++, at = same(at + cols)) \
      UNROLLED for (int r = 0; r < R; r++) { \
        const V v = load(x[r] + at); \
        UNROLLED for (int k = 0; k < K; k++) \
          if (i >= k && (i - k) % S == 0 && (i - k) / S < P) acc[r][k] += v * g[(i - k) / S]; \
      } \
    at -= (K - S) * cols; \
  }

// Three rows of three taps at a time, or two of five, hide the latency of the sums.
#define DEPTHWISE_GRAD(K, S, R) \
  KERNEL(depthwiseGradWeight##K##x##S, float *dw; const float *x, *dy; const tap *taps; long tapCount, n, cols;) { \
    for (long c = 0; c < a->cols; c += L) { \
      const tap *t = a->taps; \
      long left_n = a->tapCount; \
      for (; left_n >= R * K; left_n -= R * K, t += R * K) ROWS(K, S, R) \
      for (; left_n > 0; left_n -= K, t += K) ROWS(K, S, 1) \
    } \
  }

DEPTHWISE_GRAD(3, 1, 3) DEPTHWISE_GRAD(3, 2, 3) DEPTHWISE_GRAD(5, 1, 2) DEPTHWISE_GRAD(5, 2, 2)

// depthwiseGradWeight is for any taps: the sums of three share each gradient.
KERNEL(depthwiseGradWeight, float *dw; const float *x, *dy; const tap *taps; long tapCount, xstep, dystep, n, cols;) {
  for (long c = 0; c < a->cols; c += L) {
    const tap *t = a->taps;
    long tapCount = a->tapCount;
    for (; tapCount >= 3; tapCount -= 3, t += 3) {
      V s0 = {}, s1 = {}, s2 = {};
      const float *x = a->x + c, *x0 = x + t[0].x, *x1 = x + t[1].x, *x2 = x + t[2].x, *dy = a->dy + c;
      const long xstep = a->xstep, dystep = a->dystep;
      ROLLED for (long n = a->n, i = 0; n > 0; n--, i += xstep, dy += dystep) {
        const V g = load(dy);
        s0 += g * load(x0 + i);
        s1 += g * load(x1 + i);
        s2 += g * load(x2 + i);
      }
      float *dw = a->dw + c;
      const long left = a->cols - c;
      storeSome(dw + t[0].w, load(dw + t[0].w) + s0, left);
      storeSome(dw + t[1].w, load(dw + t[1].w) + s1, left);
      storeSome(dw + t[2].w, load(dw + t[2].w) + s2, left);
    }
    for (; tapCount > 0; tapCount--, t++) {
      V s = {};
      const float *x = a->x + c + t->x, *dy = a->dy + c;
      const long xstep = a->xstep, dystep = a->dystep;
      ROLLED for (long n = a->n; n > 0; n--, x += xstep, dy += dystep) s += load(dy) * load(x);
      float *dw = a->dw + c + t->w;
      storeSome(dw, load(dw) + s, a->cols - c);
    }
  }
}
