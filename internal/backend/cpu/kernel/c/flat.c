// Kernels on flat arrays of n values. The definitions are in elementwise.go,
// norm.go (exp), gather.go and peak.go.
#include "act.h"

// FLAT runs BODY(n) for every vector of the n_ values from i on, the last of which may
// be a part.
#define FLAT(n_, BODY) \
  long i = 0; \
  for (; i + L <= n_; i += L) { BODY(L) } \
  if (i < n_) { BODY(n_ - i) }

#define BODY(n) keep(y + i, load(x + i) + load(z + i), n);
#define ADD(name, T) \
  KERNEL(name, T *y; const T *x, *z; long n;) { \
    T *y = a->y; const T *x = a->x, *z = a->z; const long n = a->n; \
    FLAT(n, BODY) \
  }
ADD(add, float) ADD(addHalf, bf16)
#undef BODY

#define BODY(n) keep(y + i, s * load(x + i) + load(z + i), n);
#define SCALE_ADD(name, T) \
  KERNEL(name, T *y; const T *x, *z; long n; float s;) { \
    T *y = a->y; const T *x = a->x, *z = a->z; const long n = a->n; const V s = splat(a->s); \
    FLAT(n, BODY) \
  }
SCALE_ADD(scaleAdd, float) SCALE_ADD(scaleAddHalf, bf16)
#undef BODY

#define BODY(n) keep(y + i, s * load(x + i), n);
#define SCALE(name, T) \
  KERNEL(name, T *y; const T *x; long n; float s;) { \
    T *y = a->y; const T *x = a->x; const long n = a->n; const V s = splat(a->s); \
    FLAT(n, BODY) \
  }
SCALE(scale, float) SCALE(scaleHalf, bf16)
#undef BODY

#define BODY(n) keep(y + i, load(x + i), n);
#define CONVERT(name, Y, X) \
  KERNEL(name, Y *y; const X *x; long n;) { \
    Y *y = a->y; const X *x = a->x; const long n = a->n; \
    FLAT(n, BODY) \
  }
CONVERT(narrow, bf16, float) CONVERT(widen, float, bf16)
#undef BODY

KERNEL(average, float *y; const float *x; long n; float s;) {
  float *y = a->y; const float *x = a->x; const long n = a->n; const V s = splat(a->s);
#define BODY(n) { V v = load(x + i); keep(y + i, s * (load(y + i) - v) + v, n); }
  FLAT(n, BODY)
#undef BODY
}

KERNEL(exp, float *y; const float *x; long n; float top;) {
  float *y = a->y; const float *x = a->x; const long n = a->n; const V top = splat(a->top);
#define BODY(n) keep(y + i, expMinus(top - load(x + i)), n);
  FLAT(n, BODY)
#undef BODY
}

typedef struct { float lr, factor, l2, keep, correct1, correct2; } rates; // Rates in elementwise.go

KERNEL(rmsProp, float *w; const float *g; float *ms, *buf; const struct { rates r; float rho, momentum, eps; } *rule; long n;) {
  float *w = a->w, *ms = a->ms, *buf = a->buf; const float *g = a->g; const long n = a->n;
  const rates *r = &a->rule->r;
  const V rho = splat(a->rule->rho), fresh = 1.0f - rho, momentum = splat(a->rule->momentum), eps = splat(a->rule->eps);
  const V lr = splat(r->lr), factor = splat(r->factor), l2 = splat(r->l2), hold = splat(r->keep);
#define BODY(n) { \
  V v = load(w + i), d = l2 * v + factor * load(g + i); \
  V s = rho * load(ms + i) + fresh * (d * d); \
  V b = momentum * load(buf + i) + lr * d / root(s + eps); \
  keep(ms + i, s, n); keep(buf + i, b, n); keep(w + i, hold * v - b, n); }
  FLAT(n, BODY)
#undef BODY
}

KERNEL(sgd, float *w; const float *g; float *buf; const struct { rates r; float momentum; } *rule; long n;) {
  float *w = a->w, *buf = a->buf; const float *g = a->g; const long n = a->n;
  const rates *r = &a->rule->r;
  const V momentum = splat(a->rule->momentum), lr = splat(r->lr), factor = splat(r->factor), l2 = splat(r->l2), hold = splat(r->keep);
#define BODY(n) { \
  V v = load(w + i), b = momentum * load(buf + i) + (l2 * v + factor * load(g + i)); \
  keep(buf + i, b, n); keep(w + i, hold * v - lr * b, n); }
  FLAT(n, BODY)
#undef BODY
}

KERNEL(adam, float *w; const float *g; float *m, *v; const struct { rates r; float beta1, fresh1, beta2, fresh2, eps; } *rule; long n;) {
  float *w = a->w, *m = a->m, *v = a->v; const float *g = a->g; const long n = a->n;
  const rates *r = &a->rule->r;
  const V beta1 = splat(a->rule->beta1), fresh1 = splat(a->rule->fresh1), beta2 = splat(a->rule->beta2), fresh2 = splat(a->rule->fresh2), eps = splat(a->rule->eps);
  const V rate = splat(r->lr * r->correct1), correct = splat(r->correct2), factor = splat(r->factor), l2 = splat(r->l2), hold = splat(r->keep);
#define BODY(n) { \
  V x = load(w + i), d = l2 * x + factor * load(g + i); \
  V p = beta1 * load(m + i) + fresh1 * d, q = beta2 * load(v + i) + fresh2 * (d * d); \
  keep(m + i, p, n); keep(v + i, q, n); \
  keep(w + i, hold * x - rate * p / (root(q) * correct + eps), n); }
  FLAT(n, BODY)
#undef BODY
}

KERNEL(gather, float *y; const float *x; long ldy, step, n, size;) {
  for (long c = 0; c < a->size; c += L) {
    float *y = a->y + c; const float *x = a->x + c;
    const long left = a->size - c, step = a->step, ldy = a->ldy;
    for (long p = a->n; p > 0; p--, x += step, y += ldy) storeSome(y, load(x), left);
  }
}

// peak multiplies and adds in registers alone; 12 sums hide the units' latency. c holds
// the two factors, then the sums.
#define SUMS 12
KERNEL(peak, float *c; long k;) {
  const float *c = a->c;
  const V x = splat(c[0]), y = splat(c[1]);
  V s[SUMS];
  UNROLLED for (int j = 0; j < SUMS; j++) s[j] = load(c + 2 + L * j);
  ROLLED for (long k = a->k; k > 0; k--) UNROLLED for (int j = 0; j < SUMS; j++) s[j] = s[j] * x + y;
  UNROLLED for (int j = 0; j < SUMS; j++) store(a->c + 2 + L * j, s[j]);
}

#if defined(__AVX512BF16__)
// peakPairs is peak of pairs.
KERNEL(peakPairs, float *c; long k;) {
  const float *c = a->c;
  const __m512bh x = (__m512bh)splat(c[0]), y = (__m512bh)splat(c[1]);
  V s[SUMS];
  UNROLLED for (int j = 0; j < SUMS; j++) s[j] = load(c + 2 + L * j);
  ROLLED for (long k = a->k; k > 0; k--) UNROLLED for (int j = 0; j < SUMS; j++) s[j] = (V)_mm512_dpbf16_ps((__m512)s[j], x, y);
  UNROLLED for (int j = 0; j < SUMS; j++) store(a->c + 2 + L * j, s[j]);
}
#endif
