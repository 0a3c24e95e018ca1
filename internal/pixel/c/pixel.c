// The loops on pixels over whole vectors; what is left of a row goes to the definitions
// in resample.go and jpeg.go, whose bits these give. W values are done at a time.
#if defined(__AVX512F__)
#include <immintrin.h>
#define W 16
#else
#define W 8
#endif

typedef unsigned char uint8;
typedef unsigned short uint16;
typedef int I __attribute__((ext_vector_type(W)));
typedef float F __attribute__((ext_vector_type(W)));
typedef uint8 B __attribute__((ext_vector_type(W)));
typedef uint8 B4 __attribute__((ext_vector_type(4 * W)));
typedef int I8 __attribute__((ext_vector_type(8)));
typedef uint8 B8 __attribute__((ext_vector_type(8)));
typedef uint8 B16 __attribute__((ext_vector_type(16)));
typedef short S8 __attribute__((ext_vector_type(8)));
typedef uint16 U16 __attribute__((ext_vector_type(16)));

#define INLINE static inline __attribute__((always_inline))
#define UNROLLED _Pragma("clang loop unroll(full)")
#define ROLLED _Pragma("clang loop unroll(disable)")

// A type in memory, at any address.
#define AT(type, p) (((struct { type v; } __attribute__((packed, may_alias)) *)(p))->v)
#define READ(type, p) (((const struct { type v; } __attribute__((packed, may_alias)) *)(p))->v)

// KERNEL is a function that Go calls with the address of its arguments, a.
#define KERNEL(name, ...) \
  struct name##Args { __VA_ARGS__ }; \
  __attribute__((preserve_none)) void name(const struct name##Args *a); \
  __attribute__((preserve_none)) void name(const struct name##Args *a)

INLINE I widened(const uint8 *p) { return __builtin_convertvector(READ(B, p), I); }

// clipped is v between 0 and 255.
INLINE I clipped(I v) { return __builtin_elementwise_min(__builtin_elementwise_max(v, (I)0), (I)255); }
INLINE B narrowed(I v) { return __builtin_convertvector(clipped(v), B); }

// blend and widen do 16 at a time.
KERNEL(blend, uint16 *dst; const uint8 *near, *far; long n;) {
  uint16 *dst = a->dst; const uint8 *near = a->near, *far = a->far;
  for (long i = 0; i + 16 <= a->n; i += 16)
    AT(U16, dst + i) = __builtin_convertvector(READ(B16, near + i), U16) * (uint16)3 + __builtin_convertvector(READ(B16, far + i), U16);
}

KERNEL(widen, uint8 *dst; const uint16 *sums; long n, even, odd;) {
  uint8 *dst = a->dst; const uint16 *sums = a->sums;
  const U16 even = (U16)(uint16)a->even, odd = (U16)(uint16)a->odd;
  for (long i = 0; i + 16 <= a->n; i += 16) {
    const U16 near = READ(U16, sums + i + 1) * (uint16)3;
    const U16 lo = (near + READ(U16, sums + i) + even) >> (uint16)4, hi = (near + READ(U16, sums + i + 2) + odd) >> (uint16)4;
    AT(U16, dst + 2 * i) = lo | hi << (uint16)8;
  }
}

// Each pixel is made in four bytes of a lane, of which three are stored.
KERNEL(yCbCr, uint8 *dst; const uint8 *y, *cb, *cr; long n;) {
  uint8 *dst = a->dst; const uint8 *y = a->y, *cb = a->cb, *cr = a->cr;
  for (long i = 0; i + W <= a->n; i += W, dst += 3 * W) {
    const I luma = (widened(y + i) << 16) + (1 << 15), b = widened(cb + i) - 128, r = widened(cr + i) - 128;
    const I red = clipped((luma + r * 91881) >> 16);
    const I green = clipped((luma + b * -22554 + r * -46802) >> 16);
    const I blue = clipped((luma + b * 116130) >> 16);
    const B4 v = (B4)(red | green << 8 | blue << 16);
#define THREE(i) i, i + 1, i + 2, i + 4, i + 5, i + 6, i + 8, i + 9, i + 10, i + 12, i + 13, i + 14
#if W == 16
    AT(__m256i, dst) = (__m256i)__builtin_shufflevector(v, v, THREE(0), THREE(16), 32, 33, 34, 36, 37, 38, 40, 41);
    AT(B16, dst + 32) = __builtin_shufflevector(v, v, 42, 44, 45, 46, THREE(48));
#else
    AT(B16, dst) = __builtin_shufflevector(v, v, THREE(0), 16, 17, 18, 20);
    AT(B8, dst + 16) = __builtin_shufflevector(v, v, 21, 22, 24, 25, 26, 28, 29, 30);
#endif
  }
}

#define PRECISION 22 // Precision in resample.go

KERNEL(acrossRows, uint8 *dst; const uint8 *src; const int *weights; long stride, rows, n;) {
  const long rows = a->rows, stride = a->stride;
  long i = 0;
  for (; i + 4 * W <= a->n; i += 4 * W) {
    I s0 = (I)(1 << (PRECISION - 1)), s1 = s0, s2 = s0, s3 = s0;
    const uint8 *at = a->src + i; const int *w = a->weights;
    ROLLED for (long r = rows; r > 0; r--, at += stride) {
      const I k = (I)*w++;
      s0 += widened(at) * k;
      s1 += widened(at + W) * k;
      s2 += widened(at + 2 * W) * k;
      s3 += widened(at + 3 * W) * k;
    }
    uint8 *dst = a->dst + i;
    AT(B, dst) = narrowed(s0 >> PRECISION);
    AT(B, dst + W) = narrowed(s1 >> PRECISION);
    AT(B, dst + 2 * W) = narrowed(s2 >> PRECISION);
    AT(B, dst + 3 * W) = narrowed(s3 >> PRECISION);
  }
  for (; i + W <= a->n; i += W) {
    I s = (I)(1 << (PRECISION - 1));
    const uint8 *at = a->src + i; const int *w = a->weights;
    ROLLED for (long r = rows; r > 0; r--, at += stride) s += widened(at) * *w++;
    AT(B, a->dst + i) = narrowed(s >> PRECISION);
  }
}

// alongPixels does two taps of a pixel at a time: weight is [n, taps/2, 8], for red, green,
// blue and nothing of one and of the other.
KERNEL(alongPixels, uint8 *dst; const uint8 *src; const long *start; const int *weight; long taps, n;) {
  uint8 *dst = a->dst; const int *w = a->weight; const long *start = a->start;
  const long taps = a->taps;
  for (long i = a->n; i > 0; i--, dst += 3) {
    const uint8 *at = a->src + 3 * *start++;
    I8 s = (I8)0;
    ROLLED for (long t = taps; t > 0; t -= 2, at += 6, w += 8) {
      const B16 v = READ(B16, at), zero = (B16)0;
      s += __builtin_convertvector(__builtin_shufflevector(v, zero, 0, 1, 2, 16, 3, 4, 5, 16), I8) * READ(I8, w);
    }
    int r = (s[0] + s[4] + (1 << (PRECISION - 1))) >> PRECISION, g = (s[1] + s[5] + (1 << (PRECISION - 1))) >> PRECISION, b = (s[2] + s[6] + (1 << (PRECISION - 1))) >> PRECISION;
    dst[0] = (uint8)(r < 0 ? 0 : r > 255 ? 255 : r);
    dst[1] = (uint8)(g < 0 ? 0 : g > 255 ? 255 : g);
    dst[2] = (uint8)(b < 0 ? 0 : b > 255 ? 255 : b);
  }
}

#ifdef __AVX512VBMI__
// alongLanes does 16 values of the row at a time, whose bytes a permutation of 64 picks:
// groups and weight are those of lanes in resample.go. The last group may be a part.
KERNEL(alongLanes, uint8 *dst; const uint8 *src; const struct { long base; uint8 order[64]; } *groups; const int *weight; long taps, n;) {
  uint8 *dst = a->dst; const int *w = a->weight;
  const long taps = a->taps;
  for (long left = a->n, g = 0; left > 0; left -= 16, g++, dst += 16) {
    const __m512i order = _mm512_loadu_si512(a->groups[g].order), low = _mm512_set1_epi32(0xff);
    const uint8 *at = a->src + a->groups[g].base;
    I s = (I)(1 << (PRECISION - 1));
    ROLLED for (long t = taps; t > 0; t--, at += 3, w += 16)
      s += (I)_mm512_and_si512(_mm512_permutexvar_epi8(order, _mm512_loadu_si512(at)), low) * READ(I, w);
    const B v = narrowed(s >> PRECISION);
    if (left >= 16) AT(B, dst) = v;
    else _mm_mask_storeu_epi8(dst, (__mmask16)((1u << left) - 1), (__m128i)v);
  }
}
#endif

KERNEL(normalize, float *dst; const uint8 *src; const struct { float mean[3], scale[3]; } *n; long count;) {
  float *dst = a->dst; const uint8 *src = a->src;
  F mean[3], scale[3];
  UNROLLED for (int j = 0; j < 3; j++) UNROLLED for (int l = 0; l < W; l++) {
    mean[j][l] = a->n->mean[(j * W + l) % 3];
    scale[j][l] = a->n->scale[(j * W + l) % 3];
  }
  for (long i = 0; i + 3 * W <= a->count; i += 3 * W)
    UNROLLED for (int j = 0; j < 3; j++)
      AT(F, dst + i + j * W) = (__builtin_convertvector(widened(src + i + j * W), F) - mean[j]) * scale[j];
}

// DONE makes the compiler finish four vectors before it begins what follows: it would
// otherwise mix more than the registers hold.
#if defined(__x86_64__)
#define DONE(a, b, c, d) __asm__ volatile("" : "+x"(a), "+x"(b), "+x"(c), "+x"(d) : : "memory");
#else
#define DONE(a, b, c, d) __asm__ volatile("" : : : "memory");
#endif

// The inverse DCT: jpeg.go's idct8 on 8 columns or rows at once, in two halves.
#define DCT_BITS 13
#define COLUMN_SHIFT (DCT_BITS - 2)
#define ROW_SHIFT (DCT_BITS + 2 + 3)
#define ALL(x) {x, x, x, x, x, x, x, x}
static const int constants[16][8] __attribute__((aligned(32))) = { // jpeg.go's fix constants in their order, what rounds each pass, and a byte's middle and most
  ALL(2446), ALL(3196), ALL(4433), ALL(6270), ALL(7373), ALL(9633), ALL(12299), ALL(15137), ALL(16069), ALL(16819), ALL(20995), ALL(25172),
  ALL(1 << (COLUMN_SHIFT - 1)), ALL(1 << (ROW_SHIFT - 1)), ALL(128), ALL(255)};

// even makes a, of v[0], v[2], v[4] and v[6].
INLINE void even(I8 *a, const I8 *v, int shift, const int (*k)[8]) {
#define K(i) (*(const I8 *)k[i])
  const I8 z = (v[2] + v[6]) * K(2);
  const I8 even2 = z - v[6] * K(7), even3 = z + v[2] * K(3);
  const I8 round = K(shift == COLUMN_SHIFT ? 12 : 13);
  const I8 even0 = ((v[0] + v[4]) << DCT_BITS) + round, even1 = ((v[0] - v[4]) << DCT_BITS) + round;
  a[0] = even0 + even3; a[3] = even0 - even3; a[1] = even1 + even2; a[2] = even1 - even2;
  DONE(a[0], a[1], a[2], a[3])
}

// odd makes v, of a, v[1], v[3], v[5] and v[7].
INLINE void odd(I8 *v, I8 *a, int shift, const int (*k)[8]) {
  const I8 z5 = (v[7] + v[3] + v[5] + v[1]) * K(5);
  I8 z1 = (v[7] + v[1]) * K(4), b0 = v[7] * K(0) - z1, b3 = v[1] * K(6) - z1;
  DONE(b0, b3, a[0], a[1])
  I8 z2 = (v[5] + v[3]) * K(10), b1 = v[5] * K(9) - z2, b2 = v[3] * K(11) - z2;
  DONE(b1, b2, a[2], a[3])
  const I8 z3 = z5 - (v[7] + v[3]) * K(8), z4 = z5 - (v[5] + v[1]) * K(1);
  b0 += z3; b2 += z3; b1 += z4; b3 += z4;
  v[0] = (a[0] + b3) >> shift; v[7] = (a[0] - b3) >> shift;
  v[1] = (a[1] + b2) >> shift; v[6] = (a[1] - b2) >> shift;
  v[2] = (a[2] + b1) >> shift; v[5] = (a[2] - b1) >> shift;
  v[3] = (a[3] + b0) >> shift; v[4] = (a[3] - b0) >> shift;
}

// transpose makes rows columns: pairs of lanes, fours, and eights.
INLINE void transpose(I8 *v) {
  I8 t[8], u[8];
  UNROLLED for (int i = 0; i < 8; i += 2) {
    t[i] = __builtin_shufflevector(v[i], v[i + 1], 0, 8, 1, 9, 4, 12, 5, 13);
    t[i + 1] = __builtin_shufflevector(v[i], v[i + 1], 2, 10, 3, 11, 6, 14, 7, 15);
  }
  UNROLLED for (int i = 0; i < 8; i += 4) UNROLLED for (int j = 0; j < 2; j++) {
    u[i + 2 * j] = __builtin_shufflevector(t[i + j], t[i + j + 2], 0, 1, 8, 9, 4, 5, 12, 13);
    u[i + 2 * j + 1] = __builtin_shufflevector(t[i + j], t[i + j + 2], 2, 3, 10, 11, 6, 7, 14, 15);
  }
  UNROLLED for (int i = 0; i < 4; i++) {
    v[i] = __builtin_shufflevector(u[i], u[i + 4], 0, 1, 2, 3, 8, 9, 10, 11);
    v[i + 4] = __builtin_shufflevector(u[i], u[i + 4], 4, 5, 6, 7, 12, 13, 14, 15);
  }
}

KERNEL(idct, uint8 *dst; const short *blocks; long stride, n;) {
  const short *b = a->blocks;
  uint8 *dst = a->dst;
  for (long n = a->n; n > 0; n--, b += 64, dst += 8) {
    I8 v[8], e[4];
    const int (*k)[8] = constants;
    __asm__ volatile("" : "+r"(k)); // they are operands in memory
    UNROLLED for (int i = 0; i < 8; i += 2) v[i] = __builtin_convertvector(READ(S8, b + 8 * i), I8);
    even(e, v, COLUMN_SHIFT, k);
    UNROLLED for (int i = 1; i < 8; i += 2) v[i] = __builtin_convertvector(READ(S8, b + 8 * i), I8);
    odd(v, e, COLUMN_SHIFT, k);
    transpose(v);
    even(e, v, ROW_SHIFT, k);
    odd(v, e, ROW_SHIFT, k);
    // Four columns of bytes in each lane, which is a row.
    I8 half[2];
    UNROLLED for (int h = 0; h < 2; h++) {
      half[h] = (I8)0;
      UNROLLED for (int c = 0; c < 4; c++)
        half[h] |= __builtin_elementwise_min(__builtin_elementwise_max(v[4 * h + c] + K(14), (I8)0), K(15)) << (8 * c);
    }
    typedef long R __attribute__((ext_vector_type(4)));
    const R r0 = (R)__builtin_shufflevector(half[0], half[1], 0, 8, 1, 9, 4, 12, 5, 13); // rows 0, 1, 4, 5
    const R r1 = (R)__builtin_shufflevector(half[0], half[1], 2, 10, 3, 11, 6, 14, 7, 15);
    const long stride = a->stride;
    uint8 *q = dst;
    AT(long, q) = r0[0]; q += stride;
    AT(long, q) = r0[1]; q += stride;
    AT(long, q) = r1[0]; q += stride;
    AT(long, q) = r1[1]; q += stride;
    AT(long, q) = r0[2]; q += stride;
    AT(long, q) = r0[3]; q += stride;
    AT(long, q) = r1[2]; q += stride;
    AT(long, q) = r1[3];
  }
}
