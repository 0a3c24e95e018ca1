// Vectors of float32 as each target has them, and what of them C cannot say alike
// for all. A kernel is written once over V, of L values.
//
// Operands may be read up to 16 values past their end (kernel.Tail in Go), never
// written there.
#pragma once

#if defined(__AVX512F__)
#include <immintrin.h>
#define L 16
#elif defined(__AVX2__)
#include <immintrin.h>
#define L 8
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#define L 4
#endif

// A product and a sum are one instruction with one rounding wherever they meet.
#pragma clang fp contract(fast)

typedef float V __attribute__((ext_vector_type(L)));
typedef int VI __attribute__((ext_vector_type(L)));
typedef unsigned VW __attribute__((ext_vector_type(L)));
typedef float VU __attribute__((ext_vector_type(L), aligned(4), may_alias)); // in memory, anywhere

typedef unsigned short bf16; // a float's upper half
typedef bf16 VB __attribute__((ext_vector_type(L)));
typedef bf16 VBU __attribute__((ext_vector_type(L), aligned(2), may_alias));

#define INLINE static inline __attribute__((always_inline, overloadable))
#define UNROLLED _Pragma("clang loop unroll(full)")

#define ROLLED _Pragma("clang loop unroll(disable)")

// KERNEL is a function that Go calls with the address of its arguments, a. They are
// volatile so that each is loaded where the source says: with all of them loaded at
// the start there would be too few registers. They are the kernel's own, to change too.
#define KERNEL(name, ...) \
  struct name##Args { __VA_ARGS__ }; \
  __attribute__((preserve_none)) void name(volatile struct name##Args *a); \
  __attribute__((preserve_none)) void name(volatile struct name##Args *a)

INLINE V splat(float x) { return (V)x; }

// narrowed is the nearest bf16, ties to even; a NaN stays one.
INLINE VB narrowed(V v) {
#if defined(__AVX512BF16__)
  return (VB)_mm512_cvtneps_pbh((__m512)v);
#else
  const VW u = (VW)v;
  return __builtin_convertvector((u + ((u << 15 >> 31) + 0x7fff) | (VW)(v != v)) >> 16, VB);
#endif
}
INLINE V widened(VB v) { return (V)(__builtin_convertvector(v, VW) << 16); }

// Values are computed in float; in memory they are that or bf16.
INLINE V load(const float *p) { return *(const VU *)p; }
INLINE V load(const bf16 *p) { return widened(*(const VBU *)p); }
INLINE void store(float *p, V v) { *(VU *)p = v; }
INLINE void store(bf16 *p, V v) { *(VBU *)p = narrowed(v); }
// stream stores to memory that is a multiple of a vector, past the caches.
INLINE void stream(float *p, V v) { __builtin_nontemporal_store(v, (V *)p); }
INLINE void stream(bf16 *p, V v) { __builtin_nontemporal_store(narrowed(v), (VB *)p); }

// again is p, which the compiler takes for another pointer each time: what is loaded
// from it does not stay in a register where those are too few.
INLINE const float *again(const float *p) {
  __asm__ volatile("" : "+r"(p));
  return p;
}
INLINE const bf16 *again(const bf16 *p) {
  __asm__ volatile("" : "+r"(p));
  return p;
}

// same is i, likewise: sums of it are made one after another, not all kept.
INLINE long same(long i) {
  __asm__ volatile("" : "+r"(i));
  return i;
}

// moved is p and n, which the compiler is not to make ahead of time.
INLINE float *moved(float *p, long n) {
  p += n;
  __asm__ volatile("" : "+r"(p));
  return p;
}
INLINE bf16 *moved(bf16 *p, long n) {
  p += n;
  __asm__ volatile("" : "+r"(p));
  return p;
}

// DONE makes the compiler finish a vector before it begins what follows.
#if defined(__x86_64__)
#define DONE(v) __asm__ volatile("" : "+v"(v))
#else
#define DONE(v) __asm__ volatile("" : "+w"(v))
#endif

// storeFirst stores the first n of v, 0 < n < L.
INLINE void storeFirst(float *p, V v, long n) {
#if L == 16
  _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), (__m512)v);
#elif L == 8
  const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  _mm256_maskstore_ps(p, _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), lanes), (__m256)v);
#else
  p[0] = v[0];
  if (n > 1) p[1] = v[1];
  if (n > 2) p[2] = v[2];
#endif
}

INLINE void storeFirst(bf16 *p, V v, long n) {
  const VB b = narrowed(v);
#if L == 16
  _mm256_mask_storeu_epi16(p, (__mmask16)((1u << n) - 1), (__m256i)b);
#else
  UNROLLED for (int i = 0; i < L - 1; i++) if (i < n) p[i] = b[i];
#endif
}

// storeSome stores v, or as much of it as left says; keep stores the first n of v.
#define PARTS(T) \
  INLINE void storeSome(T *p, V v, long left) { \
    if (left >= L) store(p, v); \
    else if (left > 0) storeFirst(p, v, left); \
  } \
  INLINE void keep(T *p, V v, long n) { \
    if (n == L) store(p, v); \
    else storeFirst(p, v, n); \
  }
PARTS(float) PARTS(bf16)

// Where z is NaN, the smaller and the larger are z.
INLINE V atMost(V z, V top) { return z > top ? top : z; }
INLINE V atLeast(V z, V bottom) { return z < bottom ? bottom : z; }

INLINE V root(V v) { return __builtin_elementwise_sqrt(v); }
