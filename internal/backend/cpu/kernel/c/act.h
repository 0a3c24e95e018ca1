// Activations and their derivatives; act is always a constant. The definitions are
// in norm.go.
#pragma once
#include "vec.h"

enum { Identity, Swish, ReLU, ReLU6, Sigmoid, HardSwish, HardSigmoid }; // Act in norm.go

// EACH_ACT defines a kernel for each activation by KERNEL_OF(nameN, act), where N is
// the activation's number; what follows KERNEL_OF is given to it too.
#define EACH_ACT(name, KERNEL_OF, ...) \
  KERNEL_OF(name##0, Identity __VA_OPT__(,) __VA_ARGS__) KERNEL_OF(name##1, Swish __VA_OPT__(,) __VA_ARGS__) \
  KERNEL_OF(name##2, ReLU __VA_OPT__(,) __VA_ARGS__) KERNEL_OF(name##3, ReLU6 __VA_OPT__(,) __VA_ARGS__) \
  KERNEL_OF(name##4, Sigmoid __VA_OPT__(,) __VA_ARGS__) KERNEL_OF(name##5, HardSwish __VA_OPT__(,) __VA_ARGS__) \
  KERNEL_OF(name##6, HardSigmoid __VA_OPT__(,) __VA_ARGS__)

// expMinus is e^-z.
INLINE V expMinus(V z) {
  V t = z * -1.44269504f;
#if L == 16
  V r = (V)_mm512_reduce_ps((__m512)t, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
#else
  // Clamped first, so that t - n is not contracted with the product: of a large one that
  // would be what rounding took off.
  t = atMost(atLeast(t, splat(-126)), splat(127.999f));
  V n = __builtin_elementwise_floor(t), r = t - n;
#endif
  V p = 0.0017883688f * r + 0.0091993874f;
  p = p * r + 0.055657055f;
  p = p * r + 0.2402072f;
  p = p * r + 0.69314754f;
  p = p * r + 1.0f;
#if L == 16
  return (V)_mm512_scalef_ps((__m512)p, (__m512)t);
#else
  VI e = __builtin_convertvector(n + 127.0f, VI);
  return p * (V)(e << 23);
#endif
}

INLINE V sigmoid(V z) { return 1.0f / (expMinus(z) + 1.0f); }

INLINE V hardSigmoid(V z) { return atMost(atLeast(z + 3.0f, splat(0)), splat(6)) * (1.0f / 6); }

INLINE V activate(int act, V z) {
  switch (act) {
  case Swish: return z / (expMinus(z) + 1.0f);
  case ReLU: return atLeast(z, splat(0));
  case ReLU6: return atMost(atLeast(z, splat(0)), splat(6));
  case Sigmoid: return sigmoid(z);
  case HardSwish: return z * hardSigmoid(z);
  case HardSigmoid: return hardSigmoid(z);
  default: return z;
  }
}

// derivativeOf is act'(z), where s is sigmoid(z) for the activations made of it.
INLINE V derivativeOf(int act, V z, V s) {
  const V zero = splat(0), one = splat(1);
  switch (act) {
  case Swish: return s * (z * (1.0f - s) + 1.0f);
  case ReLU: return z > zero ? one : zero;
  case ReLU6: return ((z > zero) & (z < splat(6))) ? one : zero;
  case Sigmoid: return s * (1.0f - s);
  case HardSwish: return z <= splat(-3) ? zero : z >= splat(3) ? one : z * (1.0f / 3) + 0.5f;
  case HardSigmoid: return ((z > splat(-3)) & (z < splat(3))) ? splat(1.0f / 6) : zero;
  default: return one;
  }
}

INLINE V derivative(int act, V z) {
  return derivativeOf(act, z, act == Swish || act == Sigmoid ? sigmoid(z) : splat(0));
}
