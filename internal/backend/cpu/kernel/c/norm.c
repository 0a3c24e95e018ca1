// Normalisation, activations and their gradients over maps [rows,cols]. The
// definitions are in norm.go and epilogue.go.
//
// What gives a map goes along the rows, as memory lies. What sums over rows goes
// down 16 channels at a time, a cache line, whose constants and sums stay in
// registers.
#include "act.h"

typedef struct { const float *p; long len, cap; } slice;
typedef struct { slice scale, shift, mean; } norm; // Norm in norm.go

// ALONG_ROWS runs BODY(i, n) for each vector of each row: of n values, i from where
// the row begins.
#define ALONG_ROWS(BODY, NEXT) \
  for (long r_ = a->rows; r_ > 0; r_--) { \
    const long cols = a->cols; \
    long i = 0; \
    ROLLED for (; i + L <= cols; i += L) { BODY(i, L) } \
    if (i < cols) { BODY(i, cols - i) } \
    NEXT; \
  }

#define BODY(i, n) keep(y + i, load(x + i) * load(s + i), n);
KERNEL(mulColumns, float *y; const float *x, *s; long rows, cols;) {
  float *y = a->y; const float *x = a->x, *s = a->s;
  ALONG_ROWS(BODY, (x += cols, y += cols))
}
#undef BODY

#define BODY(i, n) keep(y + i, load(x + i) * load(s + i) + load(b + i), n);
#define KERNEL_OF(name, X) \
  KERNEL(name, float *y; const X *x; const float *s, *b; long rows, cols;) { \
    float *y = a->y; const X *x = a->x; const float *s = a->s, *b = a->b; \
    ALONG_ROWS(BODY, (x += cols, y += cols)) \
  }
KERNEL_OF(mulAddColumns, float) KERNEL_OF(mulAddColumnsHalf, bf16)
#undef KERNEL_OF
#undef BODY

#define BODY(i, n) keep(y + i, activate(act, load(x + i) * load(s + i) + load(b + i)), n);
#define KERNEL_OF(name, activation) \
  KERNEL(name, float *y; const float *x; const norm *n; long rows, cols;) { \
    const int act = activation; \
    float *y = a->y; const float *x = a->x, *s = a->n->scale.p, *b = a->n->shift.p; \
    ALONG_ROWS(BODY, (x += cols, y += cols)) \
  }
EACH_ACT(normAct, KERNEL_OF)
#undef KERNEL_OF
#undef BODY

#define BODY(i, n) keep(y + i, activate(act, load(x + i) * load(s + i) + load(b + i)) * load(g + i), n);
#define KERNEL_OF(name, activation) \
  KERNEL(name, bf16 *y; const bf16 *x; const norm *n; const float *gate; long rows, cols;) { \
    const int act = activation; \
    bf16 *y = a->y; const bf16 *x = a->x; const float *s = a->n->scale.p, *b = a->n->shift.p, *g = a->gate; \
    ALONG_ROWS(BODY, (x += cols, y += cols)) \
  }
EACH_ACT(normActHalf, KERNEL_OF)
#undef KERNEL_OF
#undef BODY

#define BODY(i, n) { \
  V z = load(x + i) * load(s + i) + load(b + i), v, d; \
  if (act == Swish) { V g = sigmoid(z); v = z * g; d = v * (1.0f - g) + g; } \
  else if (act == Sigmoid) { v = sigmoid(z); d = derivativeOf(act, z, v); } \
  else { v = activate(act, z); d = derivativeOf(act, z, z); } \
  keep(y + i, v, n); keep(slope + i, d, n); }
#define KERNEL_OF(name, activation, X) \
  KERNEL(name, float *y, *slope; const X *x; const norm *n; long rows, cols;) { \
    const int act = activation; \
    float *y = a->y, *slope = a->slope; const X *x = a->x; const float *s = a->n->scale.p, *b = a->n->shift.p; \
    ALONG_ROWS(BODY, (x += cols, y += cols, slope += cols)) \
  }
EACH_ACT(normActSlope, KERNEL_OF, float) EACH_ACT(normActSlopeHalf, KERNEL_OF, bf16)
#undef KERNEL_OF
#undef BODY

#define BODY(i, n) { \
  V v = load(x + i), scale = load(s + i), dz = load(dy + i); \
  if (act != Identity) dz *= derivative(act, v * scale + load(b + i)); \
  keep(dx + i, scale * dz + (load(k1 + i) * (v - load(m + i)) + load(k0 + i)), n); }
#define KERNEL_OF(name, activation, DX, X, DY) \
  KERNEL(name, DX *dx; const X *x; const DY *dy; const norm *n; const float *k1, *k0; long rows, cols;) { \
    const int act = activation; \
    DX *dx = a->dx; const X *x = a->x; const DY *dy = a->dy; const float *k1 = a->k1, *k0 = a->k0; \
    const float *s = a->n->scale.p, *b = a->n->shift.p, *m = a->n->mean.p; \
    ALONG_ROWS(BODY, (x += cols, dy += cols, dx += cols)) \
  }
EACH_ACT(normActGradInput, KERNEL_OF, float, float, float) EACH_ACT(normActGradInputHalf, KERNEL_OF, bf16, bf16, bf16)
EACH_ACT(normActGradInputFrom, KERNEL_OF, float, bf16, float)
#undef KERNEL_OF
#undef BODY

#define NV (16 / L) // vectors of 16 channels
#define EACH UNROLLED for (int j = 0; j < NV; j++)

// DOWN_COLUMNS runs BEFORE for 16 channels at c, BODY(i) for each of their rows, which
// begin at i, and AFTER.
#define DOWN_COLUMNS(BEFORE, BODY, AFTER) \
  GROUPS for (long c = 0; c < a->cols; c += 16) IN_GROUP(BEFORE, BODY, AFTER)

// GROUPS goes through GROUP rows at a time, which memory gives as that many streams;
// down all rows at once it would give a line here and there.
#define GROUP 8
#define GROUPS for (long base = 0; a->rows > 0; a->rows -= GROUP, base += GROUP * a->cols)
#define IN_GROUP(BEFORE, BODY, AFTER) { \
    BEFORE \
    ROLLED for (long r_ = a->rows < GROUP ? a->rows : GROUP, i = base + c, cols = a->cols; r_ > 0; r_--, i += cols) { BODY(i) } \
    AFTER \
  }

// Sums go on from where they are, row by row, so that they do not depend on how rows are
// cut into groups and calls.
INLINE void load16(V *s, const float *p) { EACH s[j] = load(p + L * j); }

// store16 stores the channels that are left at p.
INLINE void store16(float *p, const V *s, long left) {
  EACH storeSome(p + L * j, s[j], left - L * j);
}

#define BODY(i) EACH s[j] += load(x + i + L * j);
KERNEL(columnSum, float *sum; const float *x; long rows, cols;) {
  DOWN_COLUMNS(const float *x = a->x; V s[NV]; load16(s, a->sum + c);, BODY, store16(a->sum + c, s, a->cols - c);)
}
#undef BODY

#define BODY(i) EACH { V d = load(x + i + L * j) - p[j]; s[j] += d; q[j] += d * d; }
KERNEL(columnMoments, float *sum, *squares; const float *x, *pivot; long rows, cols;) {
  DOWN_COLUMNS(const float *x = a->x; V s[NV]; V q[NV]; V p[NV]; load16(s, a->sum + c); load16(q, a->squares + c); load16(p, a->pivot + c);, BODY,
    store16(a->sum + c, s, a->cols - c); store16(a->squares + c, q, a->cols - c);)
}
#undef BODY

#define BODY(i) EACH s[j] += load(x + i + L * j) * load(y + i + L * j);
KERNEL(columnDot, float *sum; const float *x, *y; long rows, cols;) {
  DOWN_COLUMNS(const float *x = a->x; const float *y = a->y; V s[NV]; load16(s, a->sum + c);, BODY, store16(a->sum + c, s, a->cols - c);)
}
#undef BODY

// BY_VECTOR is DOWN_COLUMNS of a vector of channels at a time, where more would not
// stay in registers.
#define BY_VECTOR(BEFORE, BODY, AFTER) \
  GROUPS for (long c = 0; c < a->cols; c += L) IN_GROUP(BEFORE, BODY, AFTER)
#define ROWS(BEFORE, BODY, AFTER) { \
    BEFORE \
    ROLLED for (long r_ = a->rows, i = c, cols = a->cols; r_ > 0; r_--, i += cols) { BODY(i) } \
    AFTER \
  }

INLINE void addSome(float *p, V s, long left) { storeSome(p, load(p) + s, left); }

// WHOLE_AND_REST is BY_VECTOR for kernels that write maps: BODY knows by whole whether
// all of a vector's channels are there.
#define WHOLE_AND_REST(BEFORE, BODY, AFTER) \
  long c = 0; \
  for (const int whole = 1; c + L <= a->cols; c += L) ROWS(BEFORE, BODY, AFTER) \
  if (c < a->cols) { const int whole = 0; ROWS(BEFORE, BODY, AFTER) }

#define BODY(i) s += activate(act, load(x + i) * scale + shift);
#define KERNEL_OF(name, activation, X) \
  KERNEL(name, float *sum; const X *x; const norm *n; long rows, cols;) { \
    const int act = activation; \
    BY_VECTOR(const X *x = a->x; const norm *n = a->n; V s = load(a->sum + c); V scale = load(n->scale.p + c); V shift = load(n->shift.p + c);, \
      BODY, storeSome(a->sum + c, s, a->cols - c);) \
  }
EACH_ACT(normActSum, KERNEL_OF, float) EACH_ACT(normActSumHalf, KERNEL_OF, bf16)
#undef KERNEL_OF
#undef BODY

// The constants are loaded each time, from one pointer: there are too few registers on AVX2.
#define BODY(i) { \
  V v = load(x + i), dz = load(dy + i); \
  if (act != Identity) dz *= derivative(act, v * load(again(scale)) + load(again(scale) + shift)); \
  s += dz; \
  q += dz * (v - load(again(scale) + mean)); }
#define KERNEL_OF(name, activation, T) \
  KERNEL(name, float *db, *dg; const T *x, *dy; const norm *n; long rows, cols;) { \
    const int act = activation; \
    BY_VECTOR(const T *x = a->x; const T *dy = a->dy; const norm *n = a->n; \
      V s = load(a->db + c); V q = load(a->dg + c); const float *scale = n->scale.p + c; const long shift = n->shift.p - n->scale.p; const long mean = n->mean.p - n->scale.p;, \
      BODY, storeSome(a->db + c, s, a->cols - c); storeSome(a->dg + c, q, a->cols - c);) \
  }

EACH_ACT(normActGradSums, KERNEL_OF, float) EACH_ACT(normActGradSumsHalf, KERNEL_OF, bf16)
#undef KERNEL_OF
#undef BODY

#define BODY(i) { \
  V dz = load(dy + i) * load(slope + i); \
  s += dz; \
  q += dz * (load(x + i) - mean); }
#define KERNEL_OF(name, X) \
  KERNEL(name, float *db, *dg; const X *x; const float *dy, *slope, *mean; long rows, cols;) { \
    BY_VECTOR(const X *x = a->x; const float *dy = a->dy; const float *slope = a->slope; V s = load(a->db + c); V q = load(a->dg + c); V mean = load(a->mean + c);, BODY, \
      storeSome(a->db + c, s, a->cols - c); storeSome(a->dg + c, q, a->cols - c);) \
  }
KERNEL_OF(slopeSums, float) KERNEL_OF(slopeSumsHalf, bf16)
#undef KERNEL_OF
#undef BODY

// addFive adds to five rows of sums, which are cols apart.
INLINE void addFive(float *p, long cols, long left, V s0, V s1, V s2, V s3, V s4) {
  addSome(p, s0, left);
  addSome(p + cols, s1, left);
  addSome(p + 2 * cols, s2, left);
  addSome(p + 3 * cols, s3, left);
  addSome(p + 4 * cols, s4, left);
}

#define BODY(i) { \
  V v = load(m + i), g = load(da + i), t = load(slope + i), d = load(x + i) - mean; \
  s0 += v * g; \
  s2 += t; \
  s4 += t * d; \
  t *= g; \
  s1 += t; \
  s3 += t * d; \
  if (whole) store(y + i, v * gate); else storeFirst(y + i, v * gate, a->cols % L); }
#define KERNEL_OF(name, T) \
  KERNEL(name, T *y; const float *m; float *sums; const T *x, *da; const float *slope, *mean, *gate; long rows, cols;) { \
    WHOLE_AND_REST(T *y = a->y; const float *m = a->m; const T *x = a->x; const T *da = a->da; const float *slope = a->slope; \
      V s0 = {}; V s1 = {}; V s2 = {}; V s3 = {}; V s4 = {}; V mean = load(a->mean + c); V gate = load(a->gate + c);, \
      BODY, addFive(a->sums + c, a->cols, a->cols - c, s0, s1, s2, s3, s4);) \
  }
KERNEL_OF(gateGrad, float) KERNEL_OF(gateGradHalf, bf16)
#undef KERNEL_OF
#undef BODY

// Rows of y are ldy apart; sum may be null.
#define BODY(i) { \
  V v = activate(act, load(x + i) + b); \
  if (whole) store(y + o, v); else storeFirst(y + o, v, a->cols % L); \
  o += ldy; \
  s += v; }
#define KERNEL_OF(name, activation, Y) \
  KERNEL(name, float *sum; Y *y; const float *x, *bias; long ldy, rows, cols;) { \
    const int act = activation; \
    WHOLE_AND_REST(Y *y = a->y; const float *x = a->x; V s = {}; V b = load(a->bias + c); const long ldy = a->ldy; long o = c;, \
      BODY, float *sum = a->sum; if (sum) addSome(sum + c, s, a->cols - c);) \
  }
EACH_ACT(biasAct, KERNEL_OF, float) EACH_ACT(biasActHalf, KERNEL_OF, bf16)
#undef KERNEL_OF
#undef BODY
